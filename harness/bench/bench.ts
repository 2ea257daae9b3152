import { formatLink } from '../../measurements/format.ts';
import { sampleColumns } from '../../measurements/sample.ts';
import { type Summary, summarize } from '../../measurements/summary.ts';
import { summaryColumns, summaryRows } from '../../measurements/summary-rows.ts';
import { seededRandom } from '../../measurements/stats/random.ts';
import type { Workload } from '../../workloads/workload.ts';
import { selectNamed } from '../cli/arguments.ts';
import { HarnessError, messageOf } from '../cli/error.ts';
import { createPaint, formatPath } from '../cli/terminal.ts';
import type { Progress } from '../progress/progress.ts';
import { lockStateDir } from '../run/lock.ts';
import { selectModes } from '../run/known-modes.ts';
import { describeMode, type Mode } from '../run/mode.ts';
import { buildPlan, type Cell } from '../run/plan.ts';
import { openResults, type Results } from '../run/results.ts';
import { type RunResult, runPlan } from '../run/run.ts';
import type { Dependencies } from './dependencies.ts';
import type { Options } from './options.ts';
import { renderResult } from './summary-table.ts';

export interface Selection {
  readonly workloads: readonly Workload[];
  readonly modes: readonly Mode[];
  readonly seed: number;
  readonly cells: readonly Cell[];
}

export interface BenchResult extends RunResult {
  readonly results: Pick<Results, 'path' | 'environment'>;
  readonly summary: Summary;
  readonly charts: readonly string[];
}

/** The cells that a run measures, in order. Throws UsageError on an unknown name. */
export async function selectCells(
  options: Options,
  dependencies: Dependencies,
  drawSeed: () => number,
): Promise<Selection> {
  const workloads =
    options.workloads === undefined
      ? dependencies.defaultWorkloads
      : selectNamed('workload', dependencies.workloads, options.workloads);
  const known = await dependencies.readModes(options.peersPath);
  const modes = selectModes(known, options.modes).flatMap((mode) => mountEach(dependencies, mode, options.mounts));
  const seed = options.seed ?? drawSeed();
  const cells = buildPlan({ workloads, modes, samples: options.samples, random: seededRandom(seed) });
  return { workloads, modes, seed, cells };
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

/**
 * The whole of `bench`, from an empty machine to charts. Rejects if nothing could be measured; on an abort before the first
 * cell it rejects with the signal's reason, later it returns what it has.
 */
export async function runBench(
  argv: readonly string[],
  options: Options,
  dependencies: Dependencies,
  selection: Selection,
  progress: Progress,
  signal: AbortSignal,
): Promise<BenchResult> {
  if (!dependencies.isRoot) {
    throw new HarnessError('not-root', 'a run mounts file systems and starts containers, which needs root', {
      remedy: 'sudo env "PATH=$PATH" npm run bench',
    });
  }
  const { stateDir } = options;
  await using stack = new AsyncDisposableStack();
  await dependencies.preflight({ stateDir });
  const lock = await lockStateDir(stateDir);
  stack.defer(() => lock.release());
  await dependencies.ensurePackages({ forTests: false, modes: selection.modes }, progress, signal);
  const results = stack.use(await openBenchResults(argv, options, dependencies, selection, signal));
  for (const warning of results.environment.warnings) progress.warn(warning);

  const link = { rttMs: options.rttMs, bandwidthMbps: options.bandwidthMbps };
  const request = { workloads: selection.workloads, modes: selection.modes, stateDir, link, reporter: progress };
  const { executor, record } = await dependencies.openExecutor(request, signal);
  stack.defer(() => executor.close());
  signal.throwIfAborted();

  const names = {
    workloads: selection.workloads.map((item) => item.name),
    modes: selection.modes.map((item) => item.name),
  };
  const each = options.samples === 1 ? '1 sample' : `${options.samples} samples`;
  progress.begin(
    `${formatLink(link)}, ${each} each, seed ${selection.seed}, ${formatPath(results.path)}`,
    selection.cells,
    names,
  );
  const { cells } = selection;
  const sink = await results.openTable('samples', sampleColumns);
  const run = { runId: results.runId, cells, executor, sink, observer: progress, link, now: () => new Date() };
  const result = await runPlan(run, signal);
  // Nothing stays running or mounted while the results are written.
  await executor.close();
  if (result.samples.length === 0) signal.throwIfAborted();

  const summary = summarize(result.samples, names);
  await results.writeTable('summary', summaryColumns, summaryRows(summary));
  await results.writeFile('summary.txt', renderResult(summary, createPaint(false)));
  const failedCount = result.samples.filter((sample) => !sample.ok).length;
  await results.complete({
    details: { ...record, sampleCount: result.samples.length, failedCount, drift: summary.drift ?? null },
  });
  return { ...result, results, summary, charts: await drawCharts(dependencies, results.path, result, progress) };
}

async function openBenchResults(
  argv: readonly string[],
  options: Options,
  dependencies: Dependencies,
  { workloads, modes, seed }: Selection,
  signal: AbortSignal,
): Promise<Results> {
  const request = {
    program: 'bench',
    argv,
    outDir: options.outDir,
    seed,
    link: { rttMs: options.rttMs, bandwidthMbps: options.bandwidthMbps },
    daemon: dependencies.daemonSetting(modes),
    machine: await dependencies.describeMachine(options.stateDir),
    details: {
      samples: options.samples,
      workloads: workloads.map(({ name, title }) => ({ name, title })),
      modes: modes.map(describeMode),
      random: 'xoshiro128** seeded by SplitMix32; blocks of all workload x mode pairs, each shuffled (Fisher-Yates)',
    },
  };
  return await openResults(request, signal);
}

/** A failure is only a warning: charts can be drawn again from the CSV. */
async function drawCharts(
  dependencies: Pick<Dependencies, 'drawCharts'>,
  resultDir: string,
  result: RunResult,
  progress: Progress,
): Promise<readonly string[]> {
  if (!result.samples.some((sample) => sample.ok)) return [];
  try {
    return await dependencies.drawCharts(resultDir);
  } catch (error) {
    const again = `npm run charts -- ${formatPath(resultDir)}`;
    progress.warn(`no charts: ${messageOf(error)}; the samples are kept, draw them with ${again}`);
    return [];
  }
}
