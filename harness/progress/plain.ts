import type { Cell } from '../run/plan.ts';
import type { Progress, ProgressOutput } from './progress.ts';
import type { Sample } from '../../measurements/sample.ts';
import { formatClock, formatLink, formatSeconds } from '../../measurements/format.ts';
import { TimeLeft } from './time-left.ts';

/** Steps closer together than this are logged once. */
const stepIntervalMs = 2_000;

/** One line per event, each with the time since the start: for logs and pipes. */
export class PlainProgress implements Progress {
  readonly #output: ProgressOutput;
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #warned = new Set<string>();
  #timeLeft: TimeLeft;
  #cellCount = 0;
  #hasLinks = false;
  #stage = '';
  #step = '';
  #stepAt = Number.NEGATIVE_INFINITY;

  constructor(output: ProgressOutput, now: () => number) {
    this.#output = output;
    this.#now = now;
    this.#startedAt = now();
    this.#timeLeft = new TimeLeft([], now);
  }

  step(stage: string, detail: string): void {
    const step = `${stage}: ${detail}`;
    const soon = stage === this.#stage && this.#now() - this.#stepAt < stepIntervalMs;
    if (step === this.#step || soon) return;
    this.#stage = stage;
    this.#step = step;
    this.#stepAt = this.#now();
    this.#line(step);
  }

  note(text: string): void {
    this.#line(text);
  }

  warn(text: string): void {
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#line(`warning: ${text}`);
  }

  begin(title: string, cells: readonly Cell[]): void {
    this.#timeLeft = new TimeLeft(cells, this.#now);
    this.#cellCount = lastOrder(cells);
    this.#hasLinks = cells.some((cell) => cell.link !== cells[0]?.link);
    this.#line(title);
  }

  extend(cells: readonly Cell[]): void {
    this.#timeLeft.extend(cells);
    this.#cellCount = Math.max(this.#cellCount, lastOrder(cells));
  }

  cellStarted(cell: Cell): void {
    this.#timeLeft.start(cell);
  }

  phaseStarted(): void {}

  cellFinished(cell: Cell, sample: Sample): void {
    this.#timeLeft.finish(cell);
    const count = `[${String(cell.order).padStart(String(this.#cellCount).length)}/${this.#cellCount}]`;
    const link = this.#hasLinks && cell.link !== undefined ? ` over ${formatLink(cell.link)}` : '';
    const name = `${cell.workload.name} ${cell.mode.name}${link} sample ${cell.sample}`;
    const result = sample.ok
      ? `pull ${formatSeconds(sample.pullMs)} + create ${formatSeconds(sample.createMs)} + run ${formatSeconds(sample.runMs)}` +
        ` = ${formatSeconds(sample.totalMs)} s`
      : `FAILED: ${sample.error}`;
    const left = this.#timeLeft.remainingMs();
    this.#line(`${count} ${name}: ${result}${left ? ` (${formatClock(left)} left)` : ''}`);
    if (sample.warnings !== undefined) this.warn(`${cell.workload.name} ${cell.mode.name}: ${sample.warnings}`);
  }

  end(): void {}

  #line(text: string): void {
    this.#output.write(`${formatClock(this.#now() - this.#startedAt)}  ${text}\n`);
  }
}

function lastOrder(cells: readonly Cell[]): number {
  return Math.max(...cells.map(({ order }) => order));
}
