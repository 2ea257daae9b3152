import type { LinkSetting } from '../../measurements/environment.ts';
import { buildSample, type Outcome, type Sample } from '../../measurements/sample.ts';
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
  readonly cells: readonly Cell[];
  readonly executor: CellExecutor;
  readonly sink: SampleSink;
  readonly observer: RunObserver;
  readonly link: LinkSetting;
  /** Wall clock, for `started_at`. */
  readonly now: () => Date;
}

export interface RunResult {
  /** In the order in which they were appended. */
  readonly samples: readonly Sample[];
  /** True if the signal ended the run before its last cell. */
  readonly aborted: boolean;
}

/**
 * Executes the cells in order and appends a sample after each. A failing cell becomes a failed sample and the run goes on. On
 * abort, the cell in progress leaves no sample. Rejects only if a sample cannot be written.
 */
export async function runPlan(request: RunRequest, signal: AbortSignal): Promise<RunResult> {
  const { cells, executor, observer, sink } = request;
  const samples: Sample[] = [];
  for (const cell of cells) {
    if (signal.aborted) return { samples, aborted: true };
    observer.cellStarted(cell);
    const identity = {
      runId: request.runId,
      sample: cell.sample,
      order: cell.order,
      workload: cell.workload.name,
      mode: cell.mode.name,
      rttMs: request.link.rttMs,
      bandwidthMbps: request.link.bandwidthMbps,
      startedAt: request.now().toISOString(),
    };
    const outcome = await outcomeOf(cell, executor, observer, signal);
    // An abort can also surface as the failure of what the cell was waiting for, which says nothing about the cell.
    if (signal.aborted && !outcome.ok) return { samples, aborted: true };
    const sample = buildSample(identity, outcome);
    await sink.append(sample);
    samples.push(sample);
    observer.cellFinished(cell, sample);
  }
  return { samples, aborted: false };
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
