import { formatLink, formatTcp } from '../../measurements/format.ts';
import { readTimeline, type StartEvent, type TimelineEvent, timelineColumns } from '../../measurements/timeline.ts';
import { messageOf } from '../cli/error.ts';
import type { Reporter } from '../cli/reporter.ts';
import type { Shard } from '../cli/quantity.ts';
import type { Cell } from '../run/plan.ts';
import type { Results } from '../run/results.ts';
import type { CellExecutor } from '../run/run.ts';
import type { Selection } from './selection.ts';

/**
 * The starts to trace: each workload in each mode over each link, once, in the order of the selection. A shard has every n-th workload and
 * link, with all modes, so that a merged run has each once and what is compared is of one machine.
 */
export function tracedStarts({ workloads, modes, links }: Omit<Selection, 'seed' | 'cells'>, shard?: Shard): Cell[] {
  const places = workloads.flatMap((workload) => links.map((link) => ({ workload, link })));
  const own = shard === undefined ? places : places.filter((_, index) => index % shard.count === shard.index - 1);
  return own.flatMap((place) => modes.map((mode) => ({ order: 0, sample: 0, mode, ...place })));
}

/** Those of `starts` that timeline.csv below `path` has no rows of: they failed, or the run was cut off before them. */
export async function untracedStarts(starts: readonly Cell[], path: string): Promise<Cell[]> {
  const traced = new Set((await readTimeline(path)).map(startKey));
  return starts.filter((cell) => !traced.has(startKey(identify(cell, ''))));
}

export interface TimelineRequest {
  /** None that timeline.csv has. */
  readonly starts: readonly Cell[];
  readonly executor: Pick<CellExecutor, 'trace'>;
  readonly results: Pick<Results, 'runId' | 'path' | 'writeTable'>;
  readonly reporter: Reporter;
}

export interface TracedStarts {
  /** Those that timeline.csv has, of earlier parts of the run as well. */
  readonly tracedCount: number;
  readonly failedCount: number;
}

/**
 * Traces the starts, and writes timeline.csv anew after each, so that it holds whole starts only. A start that fails is warned of and
 * leaves no rows. On an abort it returns early.
 */
export async function traceStarts(
  { starts, executor, results, reporter }: TimelineRequest,
  signal: AbortSignal,
): Promise<TracedStarts> {
  const rows = await readTimeline(results.path);
  let tracedCount = new Set(rows.map(startKey)).size;
  let failedCount = 0;
  for (const [index, cell] of starts.entries()) {
    const identity = identify(cell, results.runId);
    if (signal.aborted) break;
    const name = `${cell.workload.name} ${cell.mode.name}${cell.link ? ` over ${formatLink(cell.link)}` : ''}`;
    reporter.step('timeline', `${index + 1} of ${starts.length}, ${name}`);
    let events: readonly StartEvent[];
    try {
      events = await executor.trace(cell, signal);
    } catch (error) {
      if (signal.aborted) break;
      reporter.warn(`no timeline of ${name}: ${messageOf(error)}`);
      failedCount++;
      continue;
    }
    rows.push(...events.map((event): TimelineEvent => ({ ...identity, ...event })));
    tracedCount++;
    await results.writeTable('timeline', timelineColumns, rows);
  }
  return { tracedCount, failedCount };
}

type Identity = Omit<TimelineEvent, keyof StartEvent>;

function identify({ workload, mode, link }: Cell, runId: string): Identity {
  return {
    ...{ runId, workload: workload.name, mode: mode.name },
    ...{ rttMs: link?.rttMs, bandwidthMbps: link?.bandwidthMbps, tcp: link?.tcp && formatTcp(link.tcp) },
  };
}

/** Numbers as the file has them. */
function startKey({ workload, mode, rttMs, bandwidthMbps, tcp }: Identity): string {
  return JSON.stringify([workload, mode, rttMs, bandwidthMbps, tcp]);
}
