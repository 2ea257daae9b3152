import { describeCommit } from '../measurements/environment.ts';
import { formatLink } from '../measurements/format.ts';
import type { Run } from './run.ts';

/** `30 ms RTT, 200 Mbit/s, n = 3` */
export function describeConditions(run: Run): string {
  const { min, max } = run.sampleCounts;
  const failedCount = run.samples.filter((sample) => !sample.ok).length;
  const failed = failedCount === 0 ? '' : `${failedCount} of ${run.samples.length} cells failed`;
  // Where cells failed, that explains the lower counts.
  const counts = min === max || failedCount > 0 ? `n = ${max}` : `n = ${min} to ${max}`;
  return [describeLinks(run), counts, failed].filter((part) => part !== '').join(', ');
}

/** `2026-11-23, commit 7bbf7e6` */
export function describeOrigin({ samples, environment }: Pick<Run, 'samples' | 'environment'>): string {
  const date = samples.map((sample) => sample.startedAt.slice(0, 10)).sort()[0] ?? '';
  return `${date}, ${environment === undefined ? 'commit not recorded' : describeCommit(environment)}`;
}

/** The command that measures the same again; a link that is not recorded is left out. */
export function reproduction(run: Run): string {
  const [first] = run.samples;
  const rtt = first?.rttMs === undefined ? '' : ` --rtt ${first.rttMs}ms`;
  const bandwidth =
    first?.bandwidthMbps === undefined ? rtt && ' --bandwidth unlimited' : ` --bandwidth ${first.bandwidthMbps}mbit`;
  const names = ` --workloads ${run.workloads.join(',')}${describeModes(run)}`;
  return `Reproduce: npm ci && npm run bench --${names} --samples ${run.sampleCounts.max}${rtt}${bandwidth}`;
}

/** The modes where they are not those that a run measures by itself; `estargz/erofs` is estargz. */
function describeModes({ modes }: Run): string {
  const names = [...new Set(modes.map((mode) => mode.split('/')[0]!))];
  return names.every((name) => defaultModes.includes(name)) ? '' : ` --modes ${names.join(',')}`;
}

const defaultModes = ['legacy', 'stargz', 'estargz'];

function describeLinks(run: Run): string {
  const links = new Set(
    run.samples.map(({ rttMs, bandwidthMbps }) => (rttMs === undefined ? '' : formatLink({ rttMs, bandwidthMbps }))),
  );
  return links.size === 1 ? [...links][0]! : `${links.size} links`;
}
