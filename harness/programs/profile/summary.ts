import { formatMegabytes, formatSeconds } from '../../../measurements/format.ts';
import { holdTo, type Limit } from '../../../measurements/limit.ts';
import type { Sample } from '../../../measurements/sample.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import { geometricMean } from '../../../measurements/stats/ratio.ts';
import type { Columns } from '../../../measurements/table.ts';

/** The modes that are compared: an image as it is, with a profile beside it, and converted with the same kind of record. */
export const modeNames = { plain: 'stargz', profiled: 'stargz+profile', converted: 'estargz' } as const;

/** A row of summary.csv. Durations and bytes are medians. */
export interface ProfileRow {
  readonly workload: string;
  readonly n: number;
  /** Of what was published. */
  readonly profileBytes: number;
  readonly plainTotalMs: number;
  readonly profiledTotalMs: number;
  readonly convertedTotalMs: number;
  readonly overPlain: number;
  readonly overConverted: number;
  readonly plainWireBytes: number;
  readonly profiledWireBytes: number;
  readonly convertedWireBytes: number;
}

export const profileColumns: Columns<ProfileRow> = {
  workload: 'text',
  n: 'integer',
  profileBytes: 'integer',
  plainTotalMs: 'number',
  profiledTotalMs: 'number',
  convertedTotalMs: 'number',
  overPlain: 'number',
  overConverted: 'number',
  plainWireBytes: 'integer',
  profiledWireBytes: 'integer',
  convertedWireBytes: 'integer',
};

/** Of the total without a profile. */
const maxOverPlain = 0.75;

/** A row for each workload that has samples of all modes. `profiles`: bytes by workload. */
export function compareProfiles(samples: readonly Sample[], profiles: ReadonlyMap<string, number>): ProfileRow[] {
  return [...profiles].flatMap(([workload, profileBytes]) => {
    const good = samples.filter((sample) => sample.ok && sample.workload === workload);
    const [plain, profiled, converted] = Object.values(modeNames).map((mode) =>
      good.filter((sample) => sample.mode === mode),
    ) as [Sample[], Sample[], Sample[]];
    const [plainTotalMs, profiledTotalMs, convertedTotalMs] = [plain, profiled, converted].map((some) =>
      medianOf(some.map(({ totalMs }) => totalMs)),
    );
    const [plainWireBytes, profiledWireBytes, convertedWireBytes] = [plain, profiled, converted].map((some) =>
      medianOf(some.map(({ wireBytes }) => wireBytes)),
    );
    if (plainTotalMs === undefined || profiledTotalMs === undefined || convertedTotalMs === undefined) return [];
    if (plainWireBytes === undefined || profiledWireBytes === undefined || convertedWireBytes === undefined) return [];
    return {
      ...{ workload, n: profiled.length, profileBytes },
      ...{ plainTotalMs, profiledTotalMs, convertedTotalMs },
      ...{ overPlain: profiledTotalMs / plainTotalMs, overConverted: profiledTotalMs / convertedTotalMs },
      ...{ plainWireBytes, profiledWireBytes, convertedWireBytes },
    };
  });
}

export function limitsOf(rows: readonly ProfileRow[]): Limit[] {
  const ratio = geometricMean(rows.map((row) => row.overPlain));
  return [holdTo('total with a profile, over that without', ratio, maxOverPlain, '×')];
}

export function describeProfile(row: ProfileRow): string {
  const totals = [row.plainTotalMs, row.profiledTotalMs, row.convertedTotalMs].map(formatSeconds);
  const bytes = [row.plainWireBytes, row.profiledWireBytes, row.convertedWireBytes].map(formatMegabytes);
  return (
    `${row.workload}: ${totals[0]} s and ${bytes[0]} MB without, ${totals[1]} s and ${bytes[1]} MB with a profile of ` +
    `${row.profileBytes} bytes (${row.overPlain.toFixed(2)}×), ${totals[2]} s and ${bytes[2]} MB converted with a record`
  );
}

function medianOf(values: readonly (number | undefined)[]): number | undefined {
  const sorted = sortSamples(values.filter((value) => value !== undefined));
  return sorted && median(sorted);
}
