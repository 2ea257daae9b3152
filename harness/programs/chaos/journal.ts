import type { ReadTally } from './tally.ts';

/**
 * What a reader prints, line by line, so that nothing that it saw is lost when it is killed. A lane has one read at a time:
 *
 *     begin LANE MS
 *     end LANE MS BYTES WRONG ZEROS ERROR      ERROR: an errno's name, or -
 *
 * MS is CLOCK_MONOTONIC, which a container shares with its host.
 */
export interface ReadEnd {
  readonly bytes: number;
  /** Bytes that are neither right nor zero. */
  readonly wrongBytes: number;
  readonly zeroBytes: number;
  readonly error: string | undefined;
}

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export function formatBegin(lane: number): string {
  return `begin ${lane} ${monotonicMs()}\n`;
}

export function formatEnd(lane: number, { bytes, wrongBytes, zeroBytes, error = '-' }: ReadEnd): string {
  return `end ${lane} ${monotonicMs()} ${bytes} ${wrongBytes} ${zeroBytes} ${error}\n`;
}

/**
 * Adds a reader's whole journal to `tally`. From `windowMs` on, zeros and errors count apart, and nothing counts as a wait.
 * What was being read at `endedMs` has waited until then.
 */
export function tallyJournal(tally: ReadTally, journal: string, endedMs: number, windowMs = Infinity): void {
  const begun = new Map<string, number>();
  const countWait = (beginMs: number, endMs: number): void => {
    if (endMs < windowMs) tally.longestMs = Math.max(tally.longestMs, endMs - beginMs);
  };
  const lines = journal.split('\n');
  // Cut short if the reader was killed while it wrote.
  lines.pop();
  for (const line of lines) {
    const [what, lane = '', ms = '', bytes, wrongBytes, zeroBytes, error] = line.split(' ');
    if (what === 'begin') begun.set(lane, Number(ms));
    else if (what === 'end' && error !== undefined) {
      countWait(begun.get(lane)!, Number(ms));
      begun.delete(lane);
      const sizes = { bytes: Number(bytes), wrongBytes: Number(wrongBytes), zeroBytes: Number(zeroBytes) };
      addRead(tally, { ...sizes, error: error === '-' ? undefined : error }, Number(ms) >= windowMs);
    } else throw new Error(`a reader printed: ${line}`);
  }
  for (const beginMs of begun.values()) countWait(beginMs, endedMs);
}

function addRead(tally: ReadTally, { bytes, wrongBytes, zeroBytes, error }: ReadEnd, isInWindow: boolean): void {
  tally.wrongBytes += wrongBytes;
  if (isInWindow) {
    tally.windowZeroBytes += zeroBytes;
    if (error === undefined) tally.windowReads++;
    else tally.windowErrors++;
    return;
  }
  tally.bytes += bytes;
  tally.zeroBytes += zeroBytes;
  if (error === undefined) tally.reads++;
  else if (error === 'EIO') tally.eios++;
  else tally.otherErrors++;
}
