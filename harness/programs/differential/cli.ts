import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdTo } from '../../../measurements/limit.ts';
import { layerFormats } from '../../../snapshotter/convert/format.ts';
import { parseFlags, parseNames } from '../../cli/arguments.ts';
import { runProgram, say } from '../../cli/program.ts';
import { parseCount, UsageError } from '../../cli/quantity.ts';
import { conclude } from '../../run/conclude.ts';
import { openResults } from '../../run/results.ts';
import { type Failure, kindOf } from './judge.ts';
import { type Face, faces } from './rig.ts';
import { type Find, type RunOptions, runCases, runStack } from './run.ts';
import { type CaseId, stackOf } from './shrink.ts';
import { formatStack, parseStack, type Stack } from './stack.ts';
import { caseColumns, rowOf, Totals } from './totals.ts';

const usage = `Stacks of layers drawn from a seed: each is unpacked by containerd with overlayfs, and that tree is compared with what
becomes of its conversions, unpacked and mounted lazily: npm run differential -- [options]
  --cases N             how many stacks                (default 200)
  --seed S              of the stacks                  (default 1)
  --first N             number of the first            (default 0)
  --formats a,b         ${layerFormats.join(', ')}     (default: all)
  --faces a,b           ${faces.join(', ')}                     (default: all)
  --jobs N              stacks at a time               (default: one a processor)
  --replay S:N          one stack of a seed, by its number, made smaller if it fails
  --replay FILE.json    a stack from a file
  --out DIR             results and minimal stacks     (default results)`;

await runProgram({ name: 'differential', usage, run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const values = parseFlags(argv, {
    cases: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    first: { type: 'string', default: '0' },
    formats: { type: 'string' },
    faces: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    replay: { type: 'string' },
    out: { type: 'string', default: 'results' },
  });
  const scratch = await mkdtemp(join(tmpdir(), 'diff-'));
  try {
    const options: RunOptions = {
      seed: parseCount('--seed', values.seed, 0, 2 ** 31),
      first: parseCount('--first', values.first, 0, 1_000_000),
      count: parseCount('--cases', values.cases, 1, 1_000_000),
      formats: parseChoice('--formats', layerFormats, values.formats),
      faces: parseChoice('--faces', faces, values.faces) as readonly Face[],
      jobs: parseCount('--jobs', values.jobs, 1, 64),
      directory: join(scratch, 'rig'),
      compileCache: join(scratch, 'compile-cache'),
    };
    if (values.replay !== undefined) return await replay(values.replay, options, signal);
    return await runAll(argv, values.out, options, signal);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function parseChoice<T extends string>(option: string, known: readonly T[], text: string | undefined): readonly T[] {
  const names = parseNames(option, text) ?? known;
  const unknown = names.find((name) => !known.includes(name as T));
  if (unknown !== undefined) throw new UsageError(`${option}: unknown '${unknown}'; there are ${known.join(', ')}`);
  return known.filter((name) => names.includes(name));
}

async function runAll(
  argv: readonly string[],
  outDir: string,
  options: RunOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const { seed, count } = options;
  await using results = await openResults({ program: 'differential', argv, outDir, seed }, signal);
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
