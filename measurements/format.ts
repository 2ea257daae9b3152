import type { Environment, LinkSetting, TcpSetting } from './environment.ts';
import type { Sample } from './sample.ts';

/** How numbers look wherever people read them: terminal, charts, report. A missing value is a dash, or nothing for a ratio. */

/** Seconds, to the hundredth below ten and to the tenth above. */
export function formatSeconds(durationMs: number | undefined): string {
  if (durationMs === undefined) return '–';
  return (durationMs / 1000).toFixed(durationMs < 9_995 ? 2 : 1);
}

/** Megabytes (10^6), to the tenth below a hundred. */
export function formatMegabytes(sizeBytes: number | undefined): string {
  if (sizeBytes === undefined) return '–';
  return (sizeBytes / 1e6).toFixed(sizeBytes < 99.95e6 ? 1 : 0);
}

/** `99 %`, `6.4 %`, `0.13 %`: two digits that count. */
export function formatShare(share: number | undefined): string {
  if (share === undefined) return '–';
  const percent = 100 * share;
  return `${percent.toFixed(percent < 0.995 ? 2 : percent < 9.95 ? 1 : 0)} %`;
}

/** `7.3×`; below 2, where a hundredth matters, `1.04×`; far below 1, `0.038×` */
export function formatRatio(ratio: number | undefined): string {
  if (ratio === undefined) return '';
  if (ratio >= 1.995) return `${formatFactor(ratio)}×`;
  return `${ratio >= 0.0995 ? ratio.toFixed(2) : ratio.toPrecision(2)}×`;
}

/** `7.3`, for use in words. */
export function formatFactor(ratio: number): string {
  return ratio.toFixed(ratio < 9.95 ? 1 : 0);
}

/** `30 ms RTT, 200 Mbit/s`; `0 ms RTT, unlimited` */
export function formatLink({ rttMs, bandwidthMbps, tcp }: LinkSetting): string {
  const model = tcp === undefined ? '' : `, ${formatTcp(tcp)}`;
  return `${trim(rttMs)} ms RTT, ${formatBandwidth(bandwidthMbps)}${model}`;
}

/** The same of the link of a sample; undefined where none was emulated. */
export function formatSampleLink({
  rttMs,
  bandwidthMbps,
  tcp,
}: Pick<Sample, 'rttMs' | 'bandwidthMbps' | 'tcp'>): string | undefined {
  return rttMs === undefined ? undefined : formatLink({ rttMs, bandwidthMbps, tcp: parseTcp(tcp) });
}

/** `slow start`; `slow start, 0.1 % loss` */
export function formatTcp({ lossShare }: TcpSetting): string {
  return lossShare === 0 ? 'slow start' : `slow start, ${trim(lossShare * 100)} % loss`;
}

/** What `formatTcp` has written; of anything else, the plain link. */
export function parseTcp(text: string | undefined): TcpSetting | undefined {
  const found = /^slow start(?:, ([\d.]+) % loss)?$/.exec(text ?? '');
  return found === null ? undefined : { lossShare: Number(found[1] ?? 0) / 100 };
}

/** `200 Mbit/s`, `1.5 Gbit/s`, `unlimited` */
export function formatBandwidth(bandwidthMbps: number | undefined): string {
  if (bandwidthMbps === undefined) return 'unlimited';
  return bandwidthMbps >= 1000 ? `${trim(bandwidthMbps / 1000)} Gbit/s` : `${trim(bandwidthMbps)} Mbit/s`;
}

/** `commit 7bbf7e6`, `commit 7bbf7e6 + uncommitted changes`, `no commit` */
export function describeCommit({ commit, dirty }: Pick<Environment, 'commit' | 'dirty'>): string {
  if (commit === null) return 'no commit';
  return `commit ${commit.slice(0, 7)}${dirty ? ' + uncommitted changes' : ''}`;
}

/** `0:07`, `12:34`, `1:02:03` */
export function formatClock(durationMs: number): string {
  const seconds = Math.max(0, Math.round(durationMs / 1000));
  const rest = String(seconds % 60).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${rest}`;
}

function trim(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}
