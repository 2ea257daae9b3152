import type { Cell } from '../run/plan.ts';

/** Estimates the remaining time from finished cells. Durations are wall time and include resets. */
export class TimeLeft {
  readonly #now: () => number;
  readonly #finished: { readonly workload: string; readonly mode: string; readonly durationMs: number }[] = [];
  #ahead: readonly Cell[];
  #startedAt: number | undefined;

  constructor(cells: readonly Cell[], now: () => number) {
    this.#ahead = cells;
    this.#now = now;
  }

  extend(cells: readonly Cell[]): void {
    this.#ahead = [...this.#ahead, ...cells];
  }

  start(cell: Cell): void {
    this.#startedAt = this.#now();
    this.#ahead = this.#ahead.filter((other) => other.order >= cell.order);
  }

  finish(cell: Cell): void {
    if (this.#startedAt === undefined) return;
    const durationMs = this.#now() - this.#startedAt;
    this.#finished.push({ workload: cell.workload.name, mode: cell.mode.name, durationMs });
    this.#ahead = this.#ahead.filter((other) => other.order > cell.order);
    this.#startedAt = undefined;
  }

  /** Undefined until a cell has finished. */
  remainingMs(): number | undefined {
    if (this.#finished.length === 0) return undefined;
    let sum = 0;
    for (const [index, cell] of this.#ahead.entries()) {
      const expected = this.#expectedMs(cell);
      const spent = index === 0 && this.#startedAt !== undefined ? this.#now() - this.#startedAt : 0;
      sum += Math.max(0, expected - spent);
    }
    return sum;
  }

  /** The mean of the most similar finished cells: same workload and mode, else same mode, else any. */
  #expectedMs(cell: Cell): number {
    const sameMode = this.#finished.filter((other) => other.mode === cell.mode.name);
    const same = sameMode.filter((other) => other.workload === cell.workload.name);
    const similar = same.length > 0 ? same : sameMode.length > 0 ? sameMode : this.#finished;
    return similar.reduce((sum, other) => sum + other.durationMs, 0) / similar.length;
  }
}
