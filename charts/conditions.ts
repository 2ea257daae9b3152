import type { Run } from './groups.ts';

/** `30 ms RTT, 200 Mbit/s, n = 3, 2026-11-23` */
export function describeConditions(run: Run): string {
  const { least, most } = run.sampleCounts;
  const failedCount = run.samples.filter((sample) => !sample.ok).length;
  const failed = failedCount === 0 ? '' : `${failedCount} of ${run.samples.length} cells failed`;
  // Where cells failed, the lower counts are told by that.
  const counts = least === most || failedCount > 0 ? `n = ${most}` : `n = ${least} to ${most}`;
  return [describeLink(run), counts, failed, describeDate(run)].filter((part) => part !== '').join(', ');
}

/** The command that measures the same again; a link that is not recorded is left out. */
export function reproduction(run: Run): string {
  const [first] = run.samples;
  const rtt = first?.rttMs === undefined ? '' : ` --rtt ${first.rttMs}ms`;
  const bandwidth =
    first?.bandwidthMbps === undefined ? rtt && ' --bandwidth unlimited' : ` --bandwidth ${first.bandwidthMbps}mbit`;
  const { most } = run.sampleCounts;
  const names = ` --workloads ${run.workloads.join(',')}`;
  return `Reproduce: npm ci && npm run bench --${names} --samples ${most}${rtt}${bandwidth}`;
}

function describeLink(run: Run): string {
  const links = new Set(
    run.samples.map(({ rttMs, bandwidthMbps }) => {
      if (rttMs === undefined) return '';
      return `${rttMs} ms RTT, ${bandwidthMbps === undefined ? 'unlimited bandwidth' : `${bandwidthMbps} Mbit/s`}`;
    }),
  );
  return links.size === 1 ? [...links][0]! : `${links.size} links`;
}

function describeDate(run: Run): string {
  return run.samples.flatMap((sample) => sample.startedAt?.slice(0, 10) ?? []).sort()[0] ?? '';
}
