import { formatTcp } from '../../measurements/format.ts';
import { buildSample, type Outcome, type Sample, type SampleIdentity } from '../../measurements/sample.ts';
import type { StartEvent } from '../../measurements/timeline.ts';
import { messageOf } from '../cli/error.ts';
import type { Cell } from './plan.ts';

/** What a cell is doing. Only `pull`, `create` and `run` are measured. */
export type CellPhase = 'reset' | 'start' | 'pull' | 'create' | 'run' | 'collect' | 'stop';

/**
 * Measures cells, one at a time. cell/cell.ts drives containerd; tests bring their own.
 *
 * A cell that fails is an outcome with `ok: false`. When `signal` aborts, `execute` undoes what it started and rejects with
 * `signal.reason`. Any other rejection is recorded as a failed sample.
 */
export interface CellExecutor {
  execute(cell: Cell, onPhase: (phase: CellPhase) => void, signal: AbortSignal): Promise<Outcome>;
  /** The same start with everything traced, which makes it slower: it is no sample. Rejects where it does not get ready. */
  trace(cell: Cell, signal: AbortSignal): Promise<readonly StartEvent[]>;
  /** Undoes what outlives a cell. Idempotent; also called after an abort. */
  close(): Promise<void>;
}

/** Where samples go: durable when the promise resolves. */
export interface SampleSink {
  append(sample: Sample): Promise<void>;
}

export interface RunObserver {
  cellStarted(cell: Cell): void;
  phaseStarted(cell: Cell, phase: CellPhase): void;
  cellFinished(cell: Cell, sample: Sample): void;
}

export interface RunRequest {
  readonly runId: string;
  /** Taken one at a time, each after the cells of the one before. */
  readonly blocks: Iterable<readonly Cell[]>;
  /** Measured before; cells that have a sample among them are not measured again. Default: none. */
  readonly earlier?: readonly Sample[];
  /** Asked before each block with all samples so far; true ends the run. Default: it ends with the last block. */
  readonly isEnough?: (samples: readonly Sample[], block: readonly Cell[]) => boolean;
  readonly executor: CellExecutor;
  readonly sink: SampleSink;
  readonly observer: RunObserver;
  /** Wall clock, for `started_at`. */
  readonly now: () => Date;
}

export interface RunResult {
  /** The earlier ones, then the others in the order in which they were appended. */
  readonly samples: readonly Sample[];
  /** True if the signal ended the run before its last cell. */
  readonly aborted: boolean;
}

/**
 * Executes the cells in order and appends a sample after each. A failing cell becomes a failed sample and the run goes on. On
 * abort, the cell in progress leaves no sample. Rejects only if a sample cannot be written.
 */
export async function runPlan(request: RunRequest, signal: AbortSignal): Promise<RunResult> {
  const { blocks, earlier = [], executor, observer, sink } = request;
  const samples = [...earlier];
  for (const block of blocks) {
    if (request.isEnough?.(samples, block)) break;
    for (const cell of unmeasured(block, earlier)) {
      if (signal.aborted) return { samples, aborted: true };
      observer.cellStarted(cell);
      const identity = identify(cell, request);
      const outcome = await outcomeOf(cell, executor, observer, signal);
      // An abort can also surface as the failure of what the cell was waiting for, which says nothing about the cell.
      if (signal.aborted && !outcome.ok) return { samples, aborted: true };
      const sample = buildSample(identity, outcome);
      await sink.append(sample);
      samples.push(sample);
      observer.cellFinished(cell, sample);
    }
  }
  return { samples, aborted: false };
}

/** The cells that have no sample yet, good or failed. */
export function unmeasured(cells: readonly Cell[], samples: readonly Sample[]): readonly Cell[] {
  if (samples.length === 0) return cells;
  const measured = new Set(samples.map(sampleKey));
  return cells.filter((cell) => !measured.has(cellKey(cell)));
}

function identify(cell: Cell, { runId, now }: RunRequest): SampleIdentity {
  return {
    runId,
    sample: cell.sample,
    order: cell.order,
    workload: cell.workload.name,
    mode: cell.mode.name,
    rttMs: cell.link?.rttMs,
    bandwidthMbps: cell.link?.bandwidthMbps,
    tcp: cell.link?.tcp && formatTcp(cell.link.tcp),
    startedAt: now().toISOString(),
  };
}

/** What a cell and its sample have in common, and no other has. */
function sampleKey({ workload, mode, rttMs, bandwidthMbps, sample }: SampleIdentity): string {
  return JSON.stringify([workload, mode, rttMs, bandwidthMbps ?? 'unlimited', sample]);
}

function cellKey({ workload, mode, link, sample }: Cell): string {
  return JSON.stringify([workload.name, mode.name, link?.rttMs, link?.bandwidthMbps ?? 'unlimited', sample]);
}

async function outcomeOf(
  cell: Cell,
  executor: CellExecutor,
  observer: RunObserver,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    return await executor.execute(cell, (phase) => observer.phaseStarted(cell, phase), signal);
  } catch (error) {
    return { ok: false, error: messageOf(error) };
  }
}
