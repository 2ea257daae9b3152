import type { Cell } from '../run/plan.ts';
import type { Progress, ProgressOutput } from './progress.ts';
import type { Sample } from '../../measurements/sample.ts';
import type { LinkSetting } from '../../measurements/environment.ts';
import type { DisplayOrder } from '../../measurements/summary.ts';
import type { CellPhase } from '../run/run.ts';
import { formatClock, formatLink, formatSeconds } from '../../measurements/format.ts';
import { median, sortSamples } from '../../measurements/stats/median.ts';
import { createPaint, eraseLines, hideCursor, type Paint, showCursor, truncate } from '../cli/terminal.ts';
import { TimeLeft } from './time-left.ts';

const redrawIntervalMs = 200;
const maxWidth = 100;
/** Of the table of medians. */
const cellWidth = 14;
const maxRows = 14;

/**
 * A block of lines at the bottom of the terminal, redrawn in place: the current cell, progress, and the medians so far.
 * Failures and warnings are printed above it and stay.
 */
export class LiveProgress implements Progress {
  readonly #output: ProgressOutput;
  readonly #paint: Paint;
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #warned = new Set<string>();
  readonly #totals = new Map<string, number[]>();
  readonly #timer: NodeJS.Timeout;
  #timeLeft: TimeLeft;
  #title = '';
  #stage = { name: '', detail: '', since: 0 };
  #cells: readonly Cell[] = [];
  #order: DisplayOrder = { workloads: [], modes: [] };
  #current: { cell: Cell; phase: CellPhase; since: number } | undefined;
  #finishedCount = 0;
  #drawnLines = 0;
  #ended = false;

  constructor(output: ProgressOutput, color: boolean, now: () => number) {
    this.#output = output;
    this.#paint = createPaint(color);
    this.#now = now;
    this.#startedAt = now();
    this.#timeLeft = new TimeLeft([], now);
    this.#timer = setInterval(() => this.#draw(), redrawIntervalMs).unref();
    output.write(hideCursor);
  }

  step(stage: string, detail: string): void {
    const since = stage === this.#stage.name ? this.#stage.since : this.#now();
    if (stage !== this.#stage.name) this.#leaveStage();
    this.#stage = { name: stage, detail, since };
  }

  note(text: string): void {
    this.#print(text);
  }

  warn(text: string): void {
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#print(`${this.#paint.yellow('warning')} ${text}`);
  }

  begin(title: string, cells: readonly Cell[], order: DisplayOrder): void {
    this.#leaveStage();
    this.#stage = { name: '', detail: '', since: 0 };
    this.#title = title;
    this.#cells = cells;
    this.#order = order;
    this.#timeLeft = new TimeLeft(cells, this.#now);
    this.#draw();
  }

  extend(cells: readonly Cell[]): void {
    this.#timeLeft.extend(cells);
    this.#cells = [...this.#cells, ...cells];
    this.#draw();
  }

  cellStarted(cell: Cell): void {
    this.#timeLeft.start(cell);
    this.#current = { cell, phase: 'reset', since: this.#now() };
    this.#draw();
  }

  phaseStarted(cell: Cell, phase: CellPhase): void {
    this.#current = { cell, phase, since: this.#now() };
    this.#draw();
  }

  cellFinished(cell: Cell, sample: Sample): void {
    this.#timeLeft.finish(cell);
    this.#current = undefined;
    this.#finishedCount++;
    const name = `${cell.workload.name} ${cell.mode.name}`;
    if (sample.totalMs !== undefined) {
      const key = groupKey(cell.workload.name, cell.mode.name, cell.link);
      this.#totals.set(key, [...(this.#totals.get(key) ?? []), sample.totalMs]);
    } else this.#print(`${this.#paint.red('failed')} ${name} sample ${cell.sample}: ${sample.error}`);
    if (sample.warnings !== undefined) this.warn(`${name}: ${sample.warnings}`);
    this.#draw();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#timer);
    this.#output.write(eraseLines(this.#drawnLines) + showCursor);
    this.#drawnLines = 0;
  }

  /** Each finished stage of the preparation leaves one line on the screen. */
  #leaveStage(): void {
    const { name, since } = this.#stage;
    if (name === '') return;
    this.#print(`${this.#paint.green('done')}    ${name} ${this.#paint.dim(formatClock(this.#now() - since))}`);
  }

  #print(line: string): void {
    if (this.#ended) return;
    this.#output.write(`${eraseLines(this.#drawnLines)}${line}\n`);
    this.#drawnLines = 0;
    this.#draw();
  }

  #draw(): void {
    if (this.#ended) return;
    const width = Math.min(this.#output.columns, maxWidth);
    const lines = (this.#cells.length > 0 ? this.#runLines(width) : this.#stageLines()).map((line) =>
      truncate(line, width - 1),
    );
    this.#output.write(`${eraseLines(this.#drawnLines)}${lines.map((line) => `${line}\n`).join('')}`);
    this.#drawnLines = lines.length;
  }

  #stageLines(): string[] {
    const { name, detail, since } = this.#stage;
    if (name === '') return [];
    return [`${this.#paint.cyan('now')}     ${name} ${this.#paint.dim(formatClock(this.#now() - since))}  ${detail}`];
  }

  #runLines(width: number): string[] {
    const { bold, cyan, dim } = this.#paint;
    const left = this.#timeLeft.remainingMs();
    const spent = formatClock(this.#now() - this.#startedAt);
    const count = `${this.#finishedCount} of ${this.#cells.length}`;
    const clock = `${spent} gone, ${left === undefined ? 'time left not known yet' : `about ${formatClock(left)} left`}`;
    const bar = this.#bar(Math.max(10, Math.min(40, width - count.length - clock.length - 6)));
    return [
      '',
      bold(this.#title),
      `${bar}  ${count}  ${dim(clock)}`,
      `${cyan('now')}  ${this.#currentText()}`,
      '',
      ...this.#medianLines(width - 1),
    ];
  }

  #bar(width: number): string {
    const done = Math.round((this.#finishedCount / this.#cells.length) * width);
    return this.#paint.cyan('━'.repeat(done)) + this.#paint.dim('─'.repeat(width - done));
  }

  #currentText(): string {
    if (this.#current === undefined) {
      const { name, detail } = this.#stage;
      return name === '' ? this.#paint.dim('–') : `${name}: ${detail}`;
    }
    const { cell, phase, since } = this.#current;
    const samples = this.#cells.reduce((max, other) => Math.max(max, other.sample), 0);
    const isOnly = cell.link === undefined || this.#cells.every((other) => other.link === cell.link);
    const link = isOnly ? '' : ` · ${formatLink(cell.link)}`;
    const name = `${cell.workload.name} · ${cell.mode.name}${link} · sample ${cell.sample} of ${samples}`;
    return `${name}  ${this.#paint.bold(phase)} ${((this.#now() - since) / 1000).toFixed(1)} s`;
  }

  /** A column for each mode, or, where those do not fit, a column for each workload. What does not fit then is left out. */
  #medianLines(width: number): string[] {
    const { modes, workloads } = this.#order;
    const current = this.#current?.cell;
    const byMode = modes.length * cellWidth + firstWidth(workloads) <= width && longest(modes) < cellWidth;
    const [columns, rows] = byMode ? [modes, workloads] : [workloads, modes];
    const [column, row] = byMode
      ? [current?.mode.name, current?.workload.name]
      : [current?.workload.name, current?.mode.name];
    const nameWidth = firstWidth(rows);
    const shownColumns = windowAround(columns, column, Math.max(1, Math.floor((width - nameWidth) / cellWidth)));
    const head = this.#paint.dim(
      'median total s'.padEnd(nameWidth) + shownColumns.map((name) => name.padStart(cellWidth)).join(''),
    );
    const body = windowAround(rows, row, maxRows).map((name) => {
      const cells = shownColumns.map((other) =>
        byMode ? this.#medianCell(name, other) : this.#medianCell(other, name),
      );
      return name.padEnd(nameWidth) + cells.join('');
    });
    return [head, ...body];
  }

  #medianCell(workload: string, mode: string): string {
    const link = this.#current?.cell.link ?? this.#cells[0]!.link;
    const samples = sortSamples(this.#totals.get(groupKey(workload, mode, link)) ?? []);
    if (samples === undefined) return this.#paint.dim('·'.padStart(cellWidth));
    const count = `×${samples.length}`;
    return formatSeconds(median(samples)).padStart(cellWidth - 1 - count.length) + this.#paint.dim(` ${count}`);
  }
}

function firstWidth(names: readonly string[]): number {
  return Math.max(14, longest(names) + 2);
}

function longest(names: readonly string[]): number {
  return Math.max(...names.map((name) => name.length));
}

/** At most `count` names, among them the current one. */
function windowAround(names: readonly string[], current: string | undefined, count: number): readonly string[] {
  const at = current === undefined ? 0 : names.indexOf(current);
  const start = Math.max(0, Math.min(at - Math.floor(count / 2), names.length - count));
  return names.slice(start, start + count);
}

/** The medians shown are of the link that is being measured. */
function groupKey(workload: string, mode: string, link: LinkSetting | undefined): string {
  return `${workload}\n${mode}\n${link?.rttMs} ${link?.bandwidthMbps}`;
}
