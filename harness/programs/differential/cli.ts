import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdTo } from '../../../measurements/limit.ts';
import { number, optional, out, parseOptions, seed, selected, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { conclude } from '../../run/conclude.ts';
import { openResults } from '../../run/results.ts';
import { conversions, type Failure, kindOf } from './judge.ts';
import { faces } from './rig.ts';
import { type Find, type RunOptions, runCases, runStack } from './run.ts';
import { type CaseId, stackOf } from './shrink.ts';
import { formatStack, parseStack, type Stack } from './stack.ts';
import { caseColumns, rowOf, Totals } from './totals.ts';

const program = 'differential';
const about = `Stacks of layers drawn from a seed: each is unpacked by containerd with overlayfs, and that tree is compared with what
becomes of its conversions, unpacked and mounted lazily`;
const table = {
  cases: number('how many stacks', 200, 1, 1_000_000),
  seed: seed(1, 'of the stacks'),
  first: number('number of the first', 0, 0, 1_000_000),
  formats: selected('format', named(conversions), 'of the conversions'),
  faces: selected('face', named(faces), 'of the lazy mounts'),
  jobs: number('stacks at a time', availableParallelism(), 1, 64),
  replay: optional(
    'S:N',
    'one stack of a seed by its number, made smaller if it fails; or FILE.json',
    (_, text) => text,
  ),
  out,
};

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const { cases, formats, faces, replay: replayed, out: outDir, ...rest } = parseOptions(argv, table);
  const scratch = await mkdtemp(join(tmpdir(), 'diff-'));
  try {
    const options: RunOptions = {
      ...rest,
      count: cases,
      formats: formats.map(({ name }) => name),
      faces: faces.map(({ name }) => name),
      directory: join(scratch, 'rig'),
      compileCache: join(scratch, 'compile-cache'),
    };
    if (replayed !== undefined) return await replay(replayed, options, signal);
    return await runAll(argv, outDir, options, signal);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function named<T extends string>(names: readonly T[]): { readonly name: T }[] {
  return names.map((name) => ({ name }));
}

async function runAll(
  argv: readonly string[],
  outDir: string,
  options: RunOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const { seed, count } = options;
  await using results = await openResults({ program, argv, outDir, seed }, signal);
  const table = await results.openTable('cases', caseColumns);
  const totals = new Totals();
  await runCases(
    options,
    {
      judged: async (judged) => {
        totals.add(judged);
        await table.append(rowOf(judged));
        if (totals.cases % 50 === 0) say(`${totals.cases} of ${count}: ${totals.summary()}`);
      },
      found: async (find) => {
        const name = fileNameOf(find);
        await results.writeFile(name, formatStack(find.stack));
        reportFind(find, join(results.path, name));
      },
    },
    signal,
  );
  say(`\n${totals.summary()}`);
  for (const [kind, times] of totals.kinds) say(`  ${times} x ${kind}`);
  return conclude(results, [holdTo('stacks that differ', totals.failed, 0, 'stacks')], totals.details());
}

function fileNameOf({ id, failure }: Find): string {
  return `${id.seed}-${id.index}-${kindOf(failure).replaceAll(/[^a-z0-9]+/gi, '-')}`.slice(0, 100).concat('.json');
}

function reportFind({ id, failure, stack }: Find, path: string): void {
  say(`\ncase ${id.seed}:${id.index}: ${kindOf(failure)}`);
  for (const detail of failure.details) say(`  ${detail}`);
  say(`${formatStack(stack)}replay with: npm run differential -- --replay ${path}`);
  say(`        or: npm run differential -- --replay ${id.seed}:${id.index}\n`);
}

async function replay(what: string, options: RunOptions, signal: AbortSignal): Promise<boolean> {
  const id = parseCaseId(what);
  const stack = id === undefined ? parseStack(await readFile(what, 'utf8')) : stackOf(id);
  const { verdict, least } = await runStack(options, stack, signal);
  if (verdict.refusal !== undefined) say(`containerd refuses the stack: ${verdict.refusal}`);
  say(`${verdict.comparisons} trees compared, ${verdict.fallbackLayers} layers fell back`);
  for (const failure of verdict.failures) describeFailure(failure);
  if (verdict.failures.length > 0) showStack(least);
  return verdict.failures.length === 0;
}

function describeFailure(failure: Failure): void {
  say(kindOf(failure));
  for (const detail of failure.details) say(`  ${detail}`);
}

function showStack(stack: Stack): void {
  say(`a small stack that fails as the first of these:\n${formatStack(stack)}`);
}

function parseCaseId(text: string): CaseId | undefined {
  const match = /^(\d+):(\d+)$/.exec(text);
  return match === null ? undefined : { seed: Number(match[1]), index: Number(match[2]) };
}
