import { formatMegabytes, formatSeconds } from '../../../measurements/format.ts';
import { holdTo, type Limit } from '../../../measurements/limit.ts';
import type { Sample } from '../../../measurements/sample.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import { geometricMean } from '../../../measurements/stats/ratio.ts';
import type { Columns } from '../../../measurements/table.ts';

/**
 * The modes that are compared: an image as it is, one of which the daemon finds no profile, one with a profile beside it, and
 * one converted with the same kind of record.
 */
export const modeNames = {
  plain: 'stargz',
  sought: 'stargz+lookup',
  profiled: 'stargz+profile',
  converted: 'estargz',
} as const;

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
  readonly plainPullMs: number;
  readonly soughtPullMs: number;
  readonly profiledPullMs: number;
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
  plainPullMs: 'number',
  soughtPullMs: 'number',
  profiledPullMs: 'number',
  plainWireBytes: 'integer',
  profiledWireBytes: 'integer',
  convertedWireBytes: 'integer',
};

/** Of the total without a profile. */
const maxOverPlain = 0.75;
/** No mount waits for the lookup; its requests and their code take some processor time. */
const maxPullOverPlain = 1.1;

/** A row for each workload that has samples of all modes. `profiles`: bytes by workload. */
export function compareProfiles(samples: readonly Sample[], profiles: ReadonlyMap<string, number>): ProfileRow[] {
  return [...profiles].flatMap(([workload, profileBytes]) => {
    const good = samples.filter((sample) => sample.ok && sample.workload === workload);
    const medianIn = (mode: string, column: 'totalMs' | 'pullMs' | 'wireBytes'): number =>
      medianOf(good.flatMap((sample) => (sample.mode === mode ? (sample[column] ?? []) : [])));
    const { plain, sought, profiled, converted } = modeNames;
    if (![plain, sought, profiled, converted].every((name) => good.some(({ mode }) => mode === name))) return [];
    const plainTotalMs = medianIn(plain, 'totalMs');
    const profiledTotalMs = medianIn(profiled, 'totalMs');
    const convertedTotalMs = medianIn(converted, 'totalMs');
    return {
      ...{ workload, n: good.filter(({ mode }) => mode === profiled).length, profileBytes },
      ...{ plainTotalMs, profiledTotalMs, convertedTotalMs },
      ...{ overPlain: profiledTotalMs / plainTotalMs, overConverted: profiledTotalMs / convertedTotalMs },
      plainPullMs: medianIn(plain, 'pullMs'),
      soughtPullMs: medianIn(sought, 'pullMs'),
      profiledPullMs: medianIn(profiled, 'pullMs'),
      plainWireBytes: medianIn(plain, 'wireBytes'),
      profiledWireBytes: medianIn(profiled, 'wireBytes'),
      convertedWireBytes: medianIn(converted, 'wireBytes'),
    };
  });
}

export function limitsOf(rows: readonly ProfileRow[]): Limit[] {
  const total = geometricMean(rows.map((row) => row.overPlain));
  const pull = geometricMean(rows.map((row) => row.soughtPullMs / row.plainPullMs));
  return [
    holdTo('total with a profile, over that without', total, maxOverPlain, '×'),
    holdTo('pull phase where a profile is looked for in vain, over that where none is', pull, maxPullOverPlain, '×'),
  ];
}

export function describeProfile(row: ProfileRow): string {
  const totals = [row.plainTotalMs, row.profiledTotalMs, row.convertedTotalMs].map(formatSeconds);
  const bytes = [row.plainWireBytes, row.profiledWireBytes, row.convertedWireBytes].map(formatMegabytes);
  return (
    `${row.workload}: ${totals[0]} s and ${bytes[0]} MB without, ${totals[1]} s and ${bytes[1]} MB with a profile of ` +
    `${row.profileBytes} bytes (${row.overPlain.toFixed(2)}×), ${totals[2]} s and ${bytes[2]} MB converted with a record; ` +
    `pull ${formatSeconds(row.plainPullMs)} s, ${formatSeconds(row.soughtPullMs)} s looked up in vain`
  );
}

function medianOf(values: readonly number[]): number {
  return median(sortSamples(values)!);
}
