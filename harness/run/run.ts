import type { Cell, Named } from './plan.ts';
import type { Outcome, Row } from './row.ts';
import { buildRow } from './row.ts';

/** What a cell is doing; `reset` and `start` are not part of the measurement, nor are `collect` and `stop`. */
export type CellPhase = 'reset' | 'start' | 'pull' | 'create' | 'run' | 'collect' | 'stop';

/**
 * Measures cells, one at a time. The real one drives containerd (cell.ts); tests inject their own.
 *
 * `runCell` never throws for the cell's own failure: that is an outcome with `ok: false`. When `signal` aborts it stops
 * and undoes what it started, then rejects with `signal.reason`. Anything else it throws is recorded as an error row too.
 */
export interface CellExecutor<W extends Named = Named, M extends Named = Named> {
  runCell(cell: Cell<W, M>, onPhase: (phase: CellPhase) => void, signal: AbortSignal): Promise<Outcome>;
  /** Undoes what outlives a cell. Idempotent; also called after an abort. */
  close(): Promise<void>;
}

/** Where rows go: appended and durable when the promise resolves. */
export interface RowSink {
  append(row: Row): Promise<void>;
}

export interface RunObserver {
  cellStarted(cell: Cell): void;
  phaseStarted(cell: Cell, phase: CellPhase): void;
  cellFinished(cell: Cell, row: Row): void;
}

export interface RunRequest<W extends Named, M extends Named> {
  readonly runId: string;
  readonly cells: readonly Cell<W, M>[];
  readonly executor: CellExecutor<W, M>;
  readonly sink: RowSink;
  readonly observer: RunObserver;
  readonly link: { readonly rttMs: number; readonly bandwidthMbps: number | undefined };
  /** Wall clock, for `started_at`. */
  readonly now: () => Date;
}

export interface RunResult {
  /** In the order they were appended. */
  readonly rows: readonly Row[];
  /** True if the signal ended the run before its last cell. */
  readonly aborted: boolean;
}

/**
 * Runs the cells in order and appends a row after each. A failing cell becomes an error row and the run goes on. On abort
 * the cell in hand leaves no row. Rejects only if a row cannot be written.
 */
export async function runPlan<W extends Named, M extends Named>(
  request: RunRequest<W, M>,
  signal: AbortSignal,
): Promise<RunResult> {
  const { cells, executor, observer, sink } = request;
  const rows: Row[] = [];
  for (const cell of cells) {
    if (signal.aborted) return { rows, aborted: true };
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
    const outcome = await executeCell(executor, cell, observer, signal);
    // An abort may also surface as an ordinary failure of whatever the cell was waiting for: such a row would be a lie.
    if (signal.aborted && !outcome.ok) return { rows, aborted: true };
    const row = buildRow(identity, outcome);
    await sink.append(row);
    rows.push(row);
    observer.cellFinished(cell, row);
  }
  return { rows, aborted: false };
}

async function executeCell<W extends Named, M extends Named>(
  executor: CellExecutor<W, M>,
  cell: Cell<W, M>,
  observer: RunObserver,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    return await executor.runCell(cell, (phase) => observer.phaseStarted(cell, phase), signal);
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
}
