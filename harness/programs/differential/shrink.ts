import fc from 'fast-check';
import type { Stack, StackEntry, StackLayer } from './stack.ts';
import { arbitraryStack } from './stack-arbitrary.ts';

/** The stack of one case of a run: its seed and its number. */
export interface CaseId {
  readonly seed: number;
  readonly index: number;
}

export function stackOf(id: CaseId): Stack {
  return fc.sample(arbitraryStack(), sampling(id))[0]!;
}

function sampling({ seed, index }: CaseId): { readonly seed: number; readonly numRuns: 1 } {
  return { seed: (Math.imul(seed, 0x9e3779b1) + index) | 0, numRuns: 1 };
}

/** Stacks that are judged for one find, each of which takes a second or so. */
const maxDrawn = 40;
const maxReduced = 60;

/**
 * A smaller stack that fails as well: fast-check shrinks what was drawn, then entries and fields are left out one by one
 * until nothing can be spared.
 */
export async function shrinkCase(id: CaseId, fails: (stack: Stack) => Promise<boolean>): Promise<Stack> {
  let least = stackOf(id);
  let drawn = 0;
  const property = fc.asyncProperty(arbitraryStack(), async (stack) => {
    if (drawn++ >= maxDrawn || !(await fails(stack))) return true;
    least = stack;
    return false;
  });
  await fc.check(property, sampling(id));
  return reduceStack(least, fails);
}

/** Leaves out layers, entries and fields while the stack still fails, within a limit. */
export async function reduceStack(stack: Stack, fails: (stack: Stack) => Promise<boolean>): Promise<Stack> {
  let least = stack;
  let judged = 0;
  for (let smaller: Stack | undefined = stack; smaller !== undefined; ) {
    smaller = undefined;
    for (const candidate of smallerStacks(least)) {
      if (judged++ === maxReduced) return least;
      if (!(await fails(candidate))) continue;
      smaller = candidate;
      least = candidate;
      break;
    }
  }
  return least;
}

const neededFields: readonly string[] = ['type', 'name', 'link'];

function* smallerStacks({ layers }: Stack): Generator<Stack> {
  const replace = (index: number, ...by: StackLayer[]): Stack => ({ layers: layers.toSpliced(index, 1, ...by) });
  if (layers.length > 1) for (const index of layers.keys()) yield replace(index);
  for (const [index, layer] of layers.entries()) {
    if (layer.entries.length > 3) {
      const half = layer.entries.length >> 1;
      yield replace(index, { ...layer, entries: layer.entries.slice(0, half) });
      yield replace(index, { ...layer, entries: layer.entries.slice(half) });
    }
    for (const at of layer.entries.keys()) yield replace(index, { ...layer, entries: layer.entries.toSpliced(at, 1) });
  }
  for (const [index, layer] of layers.entries()) {
    if (layer.compression !== 'gzip') yield replace(index, { ...layer, compression: 'gzip' });
    for (const [at, entry] of layer.entries.entries()) {
      for (const simpler of simplerEntries(entry)) {
        yield replace(index, { ...layer, entries: layer.entries.with(at, simpler) });
      }
    }
  }
}

function* simplerEntries(entry: StackEntry): Generator<StackEntry> {
  const fields = Object.entries(entry).filter(([field]) => !neededFields.includes(field));
  for (const [field] of fields) {
    yield Object.fromEntries(Object.entries(entry).filter(([other]) => other !== field)) as unknown as StackEntry;
  }
  const xattrs = Object.entries(entry.xattrs ?? {});
  if (xattrs.length > 1) for (const one of xattrs) yield { ...entry, xattrs: Object.fromEntries([one]) };
  if (/^\.?\/./.test(entry.name)) yield { ...entry, name: entry.name.replace(/^\.?\/+/, '') };
}
