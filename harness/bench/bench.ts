import { join } from 'node:path';
import { formatLink } from '../../measurements/format.ts';
import { sampleColumns } from '../../measurements/sample.ts';
import { type Summary, summarize } from '../../measurements/summary.ts';
import { summaryColumns, summaryRows } from '../../measurements/summary-rows.ts';
import { isImported, type Workload } from '../../workloads/workload.ts';
import { HarnessError, messageOf } from '../cli/error.ts';
import { createPaint, formatPath } from '../cli/terminal.ts';
import type { Progress } from '../progress/progress.ts';
import { withoutPlaces } from '../run/command-line.ts';
import { type EarlierRun, findChanges, refuseChanges } from '../run/earlier-run.ts';
import { lockStateDir } from '../run/lock.ts';
import { describeMode } from '../run/mode.ts';
import type { Cell } from '../run/plan.ts';
import { describeLink, openResults, type Results, readOwnCode } from '../run/results.ts';
import { type RunResult, runPlan, unmeasured } from '../run/run.ts';
import { describeStop, watchStop } from '../run/stopping.ts';
import type { Dependencies } from './dependencies.ts';
import { renderVerdict, type VerdictRequest } from './image-verdict.ts';
import type { Options } from './options.ts';
import { blocksOf, orderOf, type Selection } from './selection.ts';
import { renderResult } from './summary-table.ts';
import { tracedStarts, traceStarts, untracedStarts } from './timeline.ts';

export interface BenchResult extends RunResult {
  readonly results: Pick<Results, 'path' | 'environment'>;
  readonly summary: Summary;
  readonly charts: readonly string[];
  /** Of the user's own image. */
  readonly verdict: VerdictRequest | undefined;
  /** Why it measured as much as it did, in words; undefined: as much as was asked for. */
  readonly stopped: string | undefined;
  /** Starts that were to be traced and failed. */
  readonly untracedCount: number;
}

export interface BenchRequest {
  readonly argv: readonly string[];
  readonly options: Options;
  readonly selection: Selection;
  /** The run to go on with. */
  readonly earlier: EarlierRun | undefined;
}

/**
 * The whole of `bench`, from an empty machine to charts. Rejects if nothing could be measured; on an abort before the first
 * cell it rejects with the signal's reason, later it returns what it has.
 */
export async function runBench(
  request: BenchRequest,
  dependencies: Dependencies,
  progress: Progress,
  signal: AbortSignal,
): Promise<BenchResult> {
  if (!dependencies.isRoot) {
    throw new HarnessError('not-root', 'a run mounts file systems and starts containers, which needs root', {
      remedy: 'sudo env "PATH=$PATH" npm run bench',
    });
  }
  const { options, selection, earlier } = request;
  const { stateDir } = options;
  await using stack = new AsyncDisposableStack();
  const { workloads, modes, links } = selection;
  const { images } = options;
  await dependencies.preflight({ stateDir, workloads, modes, images });
  const lock = await lockStateDir(stateDir);
  stack.defer(() => lock.release());
  await dependencies.ensurePackages({ forTests: false, modes: selection.modes, workloads }, progress, signal);
  const results = stack.use(await openBenchResults(request, dependencies, progress, signal));
  for (const warning of results.environment.warnings) progress.warn(warning);

  const known = unmeasured(selection.cells, earlier?.samples ?? []);
  const starts = options.timeline ? await untracedStarts(tracedStarts(selection, options.shard), results.path) : [];
  const wanted = { workloads, modes, links, images, cells: [...known, ...starts], stateDir, reporter: progress };
  const { executor, record, accessRecords, conditions, conditionsAtEnd } = await dependencies.openExecutor(
    wanted,
    signal,
  );
  stack.defer(() => executor.close());
  signal.throwIfAborted();
  if (earlier !== undefined) heedChanges(earlier, findChanges(earlier, { details: record }), options, progress);
  await results.describe({ ...record, ...conditions });

  const order = orderOf(selection);
  progress.begin(titleOf(request, results), known, order);
  const announce = (block: readonly Cell[]) => progress.extend(block.filter(({ order: at }) => at > lastOrder));
  const lastOrder = selection.cells.at(-1)?.order ?? 0;
  const watch = watchStop(options, order, announce, () => performance.now());
  // Where only traced starts are lacking, a run that had ended by its own rule is not to go on with the next block.
  const ended = known.length === 0 ? stopOf(earlier) : undefined;
  const run = {
    runId: results.runId,
    blocks: ended === undefined ? blocksOf(selection, options) : [],
    earlier: earlier?.samples ?? [],
    isEnough: watch.isEnough,
    executor,
    sink: await results.openTable('samples', sampleColumns),
    observer: progress,
    now: () => new Date(),
  };
  const measured = await runPlan(run, signal);
  const traced = { starts: measured.aborted ? [] : starts, executor, results, reporter: progress };
  const tracing = options.timeline ? await traceStarts(traced, signal) : undefined;
  const result = { ...measured, aborted: measured.aborted || (options.timeline && signal.aborted) };
  if (!signal.aborted) await results.describe((await conditionsAtEnd?.(signal)) ?? {});
  // Nothing stays running or mounted while the results are written.
  await executor.close();
  if (result.samples.length === 0) signal.throwIfAborted();

  const summary = summarize(result.samples, order);
  await results.writeTable('summary', summaryColumns, summaryRows(summary));
  await results.writeFile('summary.txt', renderResult(summary, createPaint(false)));
  const verdict = await judgeImported(selection, summary, results, accessRecords);
  const failedCount = result.samples.filter((sample) => !sample.ok).length;
  const stopped = ended ?? (measured.aborted ? undefined : describeStop(watch.reason, options));
  const counts = {
    ...{ sampleCount: result.samples.length, failedCount },
    ...(tracing === undefined ? {} : { tracedStarts: tracing.tracedCount }),
  };
  await results.complete({ details: { ...counts, stopped: stopped ?? null, drift: summary.drift ?? null } });
  const charts = await drawCharts(dependencies, results.path, result, progress);
  return { ...result, results, summary, verdict, charts, stopped, untracedCount: tracing?.failedCount ?? 0 };
}

/** Why its samples had ended, where that was recorded. */
function stopOf(earlier: EarlierRun | undefined): string | undefined {
  const stopped = earlier?.environment.details.stopped;
  return typeof stopped === 'string' ? stopped : undefined;
}

/** What stays visible while it runs. */
function titleOf({ options, selection, earlier }: BenchRequest, results: Results): string {
  const { samples, until, shard } = options;
  const parts = [
    selection.links.length === 1 ? describeLinks(options) : `${selection.links.length} links`,
    until === undefined ? (samples === 1 ? '1 sample each' : `${samples} samples each`) : 'as many samples as needed',
    ...(shard === undefined ? [] : [`part ${shard.index} of ${shard.count}`]),
    `seed ${selection.seed}`,
    ...(earlier === undefined ? [] : [`resumed after ${earlier.samples.length} cells`]),
    formatPath(results.path),
  ];
  return parts.join(', ');
}

/** `30 ms RTT, 200 Mbit/s; 100 ms RTT, 200 Mbit/s`, `docker.io/me` */
export function describeLinks({ links, images }: Options): string {
  const emulated = links.filter((link) => link !== undefined).map(formatLink);
  return [...(images.remote === undefined ? [] : [images.remote.name]), ...emulated].join('; ');
}

/** Keeps what the user's image read, by the layers of its source, beside the verdict that names it. */
async function judgeImported(
  { workloads, modes }: Selection,
  summary: Summary,
  results: Results,
  accessRecords: ReadonlyMap<string, string> | undefined,
): Promise<VerdictRequest | undefined> {
  const workload = workloads.find(({ image }) => isImported(image));
  if (workload === undefined) return undefined;
  const recordName = `accesses-${workload.name}.jsonl`;
  await results.writeFile(recordName, accessRecords?.get(workload.name) ?? '');
  const { containerd } = results.environment.versions;
  const recordPath = formatPath(join(results.path, recordName));
  const verdict = { summary, workload, modes, recordPath, containerdVersion: containerd ?? undefined };
  await results.writeFile('verdict.txt', renderVerdict(verdict, createPaint(false)));
  return verdict;
}

async function openBenchResults(
  { argv, options, selection, earlier }: BenchRequest,
  dependencies: Dependencies,
  progress: Progress,
  signal: AbortSignal,
): Promise<Results> {
  const { workloads, modes, links, seed } = selection;
  const machine = await dependencies.describeMachine(options.stateDir);
  const details = {
    argv: withoutPlaces(argv),
    samples: options.samples,
    workloads: workloads.map(describeWorkload),
    modes: modes.map(describeMode),
    links: links.map(describeLink),
    random:
      'xoshiro128** seeded by SplitMix32; blocks of all workload x mode x link cells, each shuffled (Fisher-Yates)',
  };
  if (earlier !== undefined) {
    const { argv: _, ...decisive } = details;
    const now = { code: await readOwnCode(), machine: { ...machine.machine }, details: decisive };
    heedChanges(earlier, findChanges(earlier, now), options, progress);
  }
  const [link, ...more] = links;
  return await openResults(
    {
      ...{ program: 'bench', argv, outDir: options.outDir, seed, machine, earlier },
      ...(link === undefined || more.length > 0 ? {} : { link }),
      daemon: dependencies.daemonSetting(modes),
      details: earlier === undefined ? details : {},
    },
    signal,
  );
}

/** With the category of a workload of the catalogue, by which a report can be filtered. */
function describeWorkload(workload: Workload) {
  const { name, title } = workload;
  return { name, title, ...('category' in workload ? { category: workload.category } : {}) };
}

/** Throws HarnessError unless it was told to go on. */
function heedChanges(earlier: EarlierRun, changes: readonly string[], options: Options, progress: Progress): void {
  if (!options.resumeAnyway) refuseChanges(earlier.path, changes);
  for (const change of changes) progress.warn(`resumed with ${change}: earlier and later samples may not compare`);
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
