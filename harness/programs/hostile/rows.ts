import { holdTo, type Limit } from '../../../measurements/limit.ts';
import type { Columns } from '../../../measurements/table.ts';
import type { HostileRun } from './run.ts';
import { troubleIn } from './weather.ts';

/** A row of samples.csv: one workload, pulled lazily and run. */
export interface HostileRow {
  readonly workload: string;
  readonly mode: string;
  readonly weather: 'calm' | 'rough';
  readonly pullMs: number;
  readonly runMs: number;
  readonly requests: number;
  /** In rough weather. */
  readonly maxRequests: number | undefined;
  readonly failed: number;
  readonly tooManyRequests: number;
  readonly serverErrors: number;
  readonly resets: number;
  readonly cuts: number;
  readonly expiredUrls: number;
  readonly unauthorized: number;
  /** Between the content that came through rough weather and the unpacked image, if they were compared. */
  readonly differences: number | undefined;
}

export const hostileColumns: Columns<HostileRow> = {
  workload: 'text',
  mode: 'text',
  weather: 'text',
  pullMs: 'number',
  runMs: 'number',
  requests: 'integer',
  maxRequests: 'integer',
  failed: 'integer',
  tooManyRequests: 'integer',
  serverErrors: 'integer',
  resets: 'integer',
  cuts: 'integer',
  expiredUrls: 'integer',
  unauthorized: 'integer',
  differences: 'integer',
};

export function toRow(
  place: Pick<HostileRow, 'workload' | 'mode' | 'weather'>,
  { counts, pullMs, runMs }: HostileRun,
  rough: Partial<Pick<HostileRow, 'maxRequests' | 'differences'>> = {},
): HostileRow {
  const { requests, tooManyRequests, serverErrors, resets, cuts, cdnRefused: expiredUrls, unauthorized } = counts;
  const failed = troubleIn(counts);
  const faults = { failed, tooManyRequests, serverErrors, resets, cuts, expiredUrls, unauthorized };
  return { ...place, pullMs, runMs, requests, ...faults, maxRequests: undefined, differences: undefined, ...rough };
}

/** `leaks`: requests that brought credentials to the CDN. */
export function limitsOf(rows: readonly HostileRow[], leaks: number): Limit[] {
  return [
    ...rows.flatMap(({ workload, mode, requests, maxRequests, differences }) => [
      ...(maxRequests === undefined ? [] : [holdTo(`${workload} ${mode}`, requests, maxRequests, 'requests')]),
      ...(differences === undefined ? [] : [holdTo(`${workload} ${mode}`, differences, 0, 'differences')]),
    ]),
    holdTo('credentials sent to the CDN', leaks, 0, 'requests'),
  ];
}
