import { join } from 'node:path';
import { selectNamed } from '../cli/arguments.ts';
import { createSampleFile, stringifyRecords } from '../run/csv.ts';
import { openEnvironment } from './environment.ts';
import { HarnessError, messageOf } from '../cli/error.ts';
import { lockStateDir } from '../run/lock.ts';
import type { Options } from './options.ts';
import { buildPlan, type Cell, type Named } from '../run/plan.ts';
import type { Progress } from '../progress/progress.ts';
import { formatLink } from '../cli/quantity.ts';
import { createResultDir, removeResultDir, writeResultFile } from '../run/result-dir.ts';
import type { Dependencies, Titled } from './dependencies.ts';
import { type RunResult, runPlan } from '../run/run.ts';
import { seededRandom } from '../../measurements/stats/random.ts';
import { type Summary, summarize, summaryRecords } from './summary.ts';
import { formatPath } from '../cli/terminal.ts';

export interface Selection<W extends Named, M extends Named> {
  readonly workloads: readonly W[];
  readonly modes: readonly M[];
  readonly seed: number;
  readonly cells: readonly Cell<W, M>[];
}

export interface BenchResult extends RunResult {
  readonly resultDir: string;
  readonly summary: Summary;
  readonly charts: readonly string[];
}

/** What a run would measure, in which order. Throws UsageError on an unknown name. */
export function selectCells<W extends Titled, M extends Titled>(
  options: Options,
  dependencies: Dependencies<W, M>,
  drawSeed: () => number,
): Selection<W, M> {
  const workloads =
    options.workloads === undefined
      ? dependencies.defaultWorkloads
      : selectNamed('workload', dependencies.workloads, options.workloads);
  const modes = selectNamed('mode', dependencies.modes, options.modes).flatMap((mode) =>
    mountEach(dependencies, mode, options.mounts),
  );
  const seed = options.seed ?? drawSeed();
  const cells = buildPlan({ workloads, modes, samples: options.samples, random: seededRandom(seed) });
  return { workloads, modes, seed, cells };
}

/** A lazy mode once for each way to mount it, told apart by name where there is more than one. */
function mountEach<W extends Titled, M extends Titled>(
  dependencies: Dependencies<W, M>,
  mode: M,
  mounts: Options['mounts'],
): M[] {
  if (mounts === undefined) return [mode];
  const mounted = mounts.flatMap((mount) => {
    const name = mounts.length === 1 ? mode.name : `${mode.name}/${mount}`;
    return dependencies.mountedBy(mode, mount, name) ?? [];
  });
  return mounted.length === 0 ? [mode] : mounted;
}

/**
 * The main job, from an empty machine to charts. Rejects if nothing could be measured; on an abort before the first cell
 * it rejects with the signal's reason, later it returns what it has.
 */
export async function runBench<W extends Titled, M extends Titled>(
  options: Options,
  dependencies: Dependencies<W, M>,
  selection: Selection<W, M>,
  progress: Progress,
  signal: AbortSignal,
): Promise<BenchResult> {
  if (!dependencies.isRoot) {
    throw new HarnessError('not-root', 'a run mounts file systems and starts containers, which needs root', {
      remedy: 'sudo env "PATH=$PATH" npm run bench',
    });
  }
  await using stack = new AsyncDisposableStack();
  await dependencies.preflight({ stateDir: options.stateDir });
  const lock = await lockStateDir(options.stateDir);
  stack.defer(() => lock.release());
  const { runId, path: resultDir } = await createResultDir(options.outDir, 'bench', new Date());
  let rowCount = 0;
  stack.defer(async () => (rowCount === 0 ? await removeResultDir(resultDir) : undefined));

  const { stateDir } = options;
  const link = { rttMs: options.rttMs, bandwidthMbps: options.bandwidthMbps };
  await dependencies.ensurePackages(false, progress, signal);
  const { machine, warnings } = await dependencies.describeMachine(stateDir);
  for (const warning of warnings) progress.warn(warning);
  const environment = await openEnvironment(resultDir, {
    runId,
    commandLine: process.argv,
    seed: selection.seed,
    samples: options.samples,
    link,
    workloads: selection.workloads.map(({ name, title }) => ({ name, title })),
    modes: selection.modes.map(({ name, title }) => ({ name, title })),
    machine,
    warnings,
  });
  const request = { workloads: selection.workloads, modes: selection.modes, stateDir, link, reporter: progress };
  const { executor, record } = await dependencies.openExecutor(request, signal);
  stack.defer(() => executor.close());
  signal.throwIfAborted();

  const sampleFile = await createSampleFile(join(resultDir, 'samples.csv'));
  stack.defer(() => sampleFile.close());
  const names = {
    workloads: selection.workloads.map((item) => item.name),
    modes: selection.modes.map((item) => item.name),
  };
  const samples = options.samples === 1 ? '1 sample' : `${options.samples} samples`;
  progress.begin(
    `${formatLink(link)}, ${samples} each, seed ${selection.seed}, ${formatPath(resultDir)}`,
    selection.cells,
    names,
  );
  const sink = {
    append: async (row: Parameters<typeof sampleFile.append>[0]) => {
      await sampleFile.append(row);
      rowCount++;
    },
  };
  const { cells } = selection;
  const run = { runId, cells, executor, sink, observer: progress, link, now: () => new Date() };
  const result = await runPlan(run, signal);
  // Nothing that runs or is mounted stays while the results are written.
  await executor.close();
  if (result.rows.length === 0) signal.throwIfAborted();

  const summary = summarize(result.rows, names, selection.seed);
  await writeResultFile(resultDir, 'summary.csv', stringifyRecords(summaryRecords(summary)));
  await environment.complete(result, record);
  return { ...result, resultDir, summary, charts: await drawCharts(dependencies, resultDir, result, progress) };
}

/** A chart that cannot be drawn loses no measurement: it can be drawn again from the CSV. */
async function drawCharts(
  dependencies: Pick<Dependencies, 'drawCharts'>,
  resultDir: string,
  result: RunResult,
  progress: Progress,
): Promise<readonly string[]> {
  if (!result.rows.some((row) => row.ok)) return [];
  try {
    return await dependencies.drawCharts(resultDir);
  } catch (error) {
    const again = `npm run charts -- ${formatPath(resultDir)}`;
    progress.warn(`no charts: ${messageOf(error)}; the samples are kept, draw them with ${again}`);
    return [];
  }
}
