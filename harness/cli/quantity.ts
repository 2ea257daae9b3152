/** A command line that cannot be run as typed. The message is one line. */
export class UsageError extends Error {
  readonly code = 'usage';
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

const durationUnitsMs: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, min: 60_000 };
const rateUnitsMbps: Readonly<Record<string, number>> = { kbit: 0.001, mbit: 1, gbit: 1000 };
const budgetUnitsMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };
const maxRttMs = 10_000;

/** `30ms`, `0.5s`, `2min`, `0` -> milliseconds. */
export function parseDuration(option: string, text: string, maxMs = maxRttMs): number {
  const match = /^(\d+(?:\.\d+)?)(us|ms|s|min)$/i.exec(text);
  const ms = text === '0' ? 0 : match ? Number(match[1]) * durationUnitsMs[match[2]!.toLowerCase()]! : Number.NaN;
  if (!(ms <= maxMs)) {
    const examples = maxMs < 60_000 ? '0, 30ms or 0.1s' : '500ms, 30s or 2min';
    throw new UsageError(`${option} needs a time like ${examples}, at most ${maxMs / 1000}s, not '${text}'`);
  }
  return ms;
}

/** `200mbit`, `1gbit` -> Mbit/s; `unlimited` -> undefined. */
export function parseBandwidth(option: string, text: string): number | undefined {
  if (text.toLowerCase() === 'unlimited') return undefined;
  const match = /^(\d+(?:\.\d+)?)(kbit|mbit|gbit)$/i.exec(text);
  const mbps = match ? Number(match[1]) * rateUnitsMbps[match[2]!.toLowerCase()]! : Number.NaN;
  if (!(mbps >= 0.1 && mbps <= 100_000)) {
    throw new UsageError(
      `${option} needs a rate like 800kbit, 200mbit or 1gbit (0.1mbit to 100gbit) or unlimited, not '${text}'`,
    );
  }
  return mbps;
}

export function parseCount(option: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw new UsageError(`${option} needs a whole number from ${min} to ${max}, not '${text}'`);
  }
  return value;
}

/** `30m`, `90s`, `2h` -> milliseconds. */
export function parseBudget(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|m|h)$/.exec(text);
  const ms = match ? Number(match[1]) * budgetUnitsMs[match[2]!]! : Number.NaN;
  if (!(ms > 0)) throw new UsageError(`${option} needs a time like 90s, 30m or 2h, not '${text}'`);
  return ms;
}

/** `5%` -> 0.05 */
export function parsePercent(option: string, text: string, max = 10): number {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text);
  const share = match ? Number(match[1]) / 100 : Number.NaN;
  if (!(share > 0 && share <= max)) {
    throw new UsageError(`${option} needs a percentage like 5%, at most ${100 * max}%, not '${text}'`);
  }
  return share;
}

/** `30ms,100ms` -> each of them, once. */
export function parseList<T>(option: string, text: string, parse: (option: string, text: string) => T): T[] {
  return [...new Set(text.split(',').map((one) => parse(option, one.trim())))];
}

/** One of several parts of a run, from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** `2/5` */
export function parseShard(option: string, text: string): Shard {
  const match = /^(\d+)\/(\d+)$/.exec(text);
  const [index, count] = match === null ? [0, 0] : [Number(match[1]), Number(match[2])];
  if (!(index >= 1 && index <= count))
    throw new UsageError(`${option} needs a part of a whole like 1/3, not '${text}'`);
  return { index, count };
}

/** `500mb`, `20gb`, `1.5tb` -> bytes. */
export function parseSize(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(mb|gb|tb)$/i.exec(text);
  const units: Readonly<Record<string, number>> = { mb: 1e6, gb: 1e9, tb: 1e12 };
  if (match === null) throw new UsageError(`${option} needs a size like 500mb, 20gb or 1tb, not '${text}'`);
  return Number(match[1]) * units[match[2]!.toLowerCase()]!;
}
