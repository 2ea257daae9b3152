import type { LinkSetting } from '../../measurements/environment.ts';
import { seededRandom } from '../../measurements/stats/random.ts';
import { minSamplesForInterval } from '../../measurements/stats/median.ts';
import type { DisplayOrder } from '../../measurements/summary.ts';
import type { Workload } from '../../workloads/workload.ts';
import { selectNamed } from '../cli/arguments.ts';
import { type Shard, UsageError } from '../cli/quantity.ts';
import { basePrefix } from '../../measurements/run-comparison.ts';
import { selectModes } from '../run/known-modes.ts';
import type { Mode } from '../run/mode.ts';
import { type Cell, drawBlocks } from '../run/plan.ts';
import type { Dependencies } from './dependencies.ts';
import type { Options } from './options.ts';

/** What a run measures. */
export interface Selection {
  readonly workloads: readonly Workload[];
  readonly modes: readonly Mode[];
  /** One undefined: none is emulated. */
  readonly links: readonly (LinkSetting | undefined)[];
  readonly seed: number;
  /** In order; of a run that goes on until it is precise, those that it measures in any case. */
  readonly cells: readonly Cell[];
}

/** Throws UsageError on an unknown name. */
export async function selectCells(
  options: Options,
  dependencies: Dependencies,
  drawSeed: () => number,
): Promise<Selection> {
  const workloads = selectWorkloads(options, dependencies);
  const known = await dependencies.readModes(options.peersPath);
  const chosen = selectModes(known, options.modes).flatMap((mode) => mountEach(dependencies, mode, options.mounts));
  const modes = options.base === undefined ? chosen : await withBase(dependencies, chosen, options.base, options);
  const selection = { workloads, modes, links: options.links, seed: options.seed ?? drawSeed() };
  const sure = options.until === undefined ? options.samples : Math.min(options.samples, minSamplesForInterval);
  return { ...selection, cells: [...blocksOf(selection, { ...options, samples: sure })].flat() };
}

/** The user's own image alone, unless workloads are named as well. */
function selectWorkloads({ imported, workloads }: Options, dependencies: Dependencies): readonly Workload[] {
  if (imported !== undefined && workloads === undefined) return [imported];
  const named =
    workloads === undefined
      ? dependencies.defaultWorkloads
      : selectNamed('workload', dependencies.workloads, workloads);
  if (imported === undefined) return named;
  const isTaken = named.some(({ name }) => name === imported.name);
  return [isTaken ? { ...imported, name: `own-${imported.name}` } : imported, ...named];
}

/** Its blocks, of which a shard has some. */
export function blocksOf(
  { seed, ...what }: Omit<Selection, 'cells'>,
  { samples, shard }: { readonly samples: number; readonly shard: Shard | undefined },
): Iterable<readonly Cell[]> {
  const blocks = drawBlocks({ ...what, random: seededRandom(seed) }).take(samples);
  return shard === undefined ? blocks : blocks.filter((_, index) => index % shard.count === shard.index - 1);
}

export function orderOf({ workloads, modes }: Pick<Selection, 'workloads' | 'modes'>): DisplayOrder {
  return { workloads: workloads.map(({ name }) => name), modes: modes.map(({ name }) => name) };
}

/** Each mode of our daemon with that of another commit before it. */
async function withBase(
  dependencies: Dependencies,
  modes: readonly Mode[],
  ref: string,
  { stateDir }: Options,
): Promise<Mode[]> {
  if (!modes.some(isOurs))
    throw new UsageError('--base needs a mode of ours: the daemon of the other commit runs in it');
  const base = await dependencies.resolveBase(ref, stateDir);
  const before = (mode: Mode): Mode => ({
    ...{ ...mode, name: `${basePrefix}${mode.name}`, title: `${mode.name}, with the daemon of ${ref}` },
    base,
  });
  return modes.flatMap((mode) => (isOurs(mode) ? [before(mode), mode] : [mode]));
}

function isOurs({ daemonConfig, peer, engine = 'containerd' }: Mode): boolean {
  return daemonConfig !== undefined && peer === undefined && engine === 'containerd';
}

/** A lazy mode once per mount, with the mount in its name if there are several. */
function mountEach(dependencies: Dependencies, mode: Mode, mounts: Options['mounts']): Mode[] {
  if (mounts === undefined) return [mode];
  const mounted = mounts.flatMap((mount) => {
    const name = mounts.length === 1 ? mode.name : `${mode.name}/${mount}`;
    return dependencies.mountedBy(mode, mount, name) ?? [];
  });
  return mounted.length === 0 ? [mode] : mounted;
}
