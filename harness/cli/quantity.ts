/** A command line that cannot be run as typed. The message is one line. */
export class UsageError extends Error {
  readonly code = 'usage';
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

const durationUnitsMs: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 };
const rateUnitsMbps: Readonly<Record<string, number>> = { kbit: 0.001, mbit: 1, gbit: 1000 };
const maxRttMs = 10_000;

/** `30ms`, `0.5s`, `0` -> milliseconds. */
export function parseDuration(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(us|ms|s)$/i.exec(text);
  const ms = text === '0' ? 0 : match ? Number(match[1]) * durationUnitsMs[match[2]!.toLowerCase()]! : Number.NaN;
  if (!(ms <= maxRttMs))
    throw new UsageError(`${option} needs a time like 0, 30ms or 0.1s, at most 10s, not '${text}'`);
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
