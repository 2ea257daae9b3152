import type { BenchRun } from './bench-run.ts';
import { type Comparison, compareTimes } from './comparison.ts';
import { formatSampleLink } from './format.ts';
import type { Sample } from './sample.ts';
import { type Group, isSameLink, observe, type SampleLink, type Summary } from './summary.ts';

/** In a run with --base REF, the modes of that commit: `base:estargz`. */
export const basePrefix = 'base:';

/** One workload in one mode over one link, before and after. Ratios are head / base: below 1 is less. */
export interface RunChange extends SampleLink {
  readonly workload: string;
  readonly mode: string;
  readonly base: Group;
  readonly head: Group;
  /** Undefined where either side has no good sample. */
  readonly total: Comparison | undefined;
  /** Of the medians; undefined where either was not measured. */
  readonly bytesRatio: number | undefined;
  readonly requestsRatio: number | undefined;
  /** Whether times may be judged: both sides were measured in the same rounds on the same machine. */
  readonly isInterleaved: boolean;
}

export interface RunComparison {
  readonly changes: readonly RunChange[];
  /** What cannot be compared, each in words: `python estargz: another image`. */
  readonly excluded: readonly string[];
}

export interface CompareOptions {
  /** Compares groups although their images differ. */
  readonly otherImages: boolean;
}

/** Two runs, group by group. Times of two runs are never interleaved. */
export function compareRuns(base: BenchRun, head: BenchRun, { otherImages }: CompareOptions): RunComparison {
  const excluded: string[] = [];
  const pairs = head.summary.groups.flatMap((group) => {
    const other = findGroup(base.summary, group, group.mode);
    if (other === undefined) {
      excluded.push(`${describeChange(group)}: ${whyAbsent(base, group)}`);
      return [];
    }
    if (!otherImages && !haveSameImage(base, other, head, group)) {
      excluded.push(`${describeChange(group)}: another image`);
      return [];
    }
    return [{ base: other, head: group }];
  });
  for (const group of base.summary.groups) {
    if (findGroup(head.summary, group, group.mode) === undefined)
      excluded.push(`${describeChange(group)}: ${whyAbsent(head, group)}`);
  }
  return { changes: compareGroups(pairs, false), excluded };
}

/** Why nothing of two runs can be compared, and what to do. */
export function describeNothing(
  base: BenchRun,
  head: BenchRun,
  excluded: readonly string[],
): { readonly message: string; readonly remedy: string } {
  const [why = 'they have nothing in common', ...more] = excluded;
  const rest = more.length > 0 ? `, and ${more.length} more` : '';
  return {
    message: `cannot compare ${base.path} with ${head.path}: ${why}${rest}`,
    remedy: why.endsWith('another image')
      ? 'add --other-images to compare all the same'
      : 'measure both with the same workloads, modes and link',
  };
}

/** The modes of one run with their `base:` modes. Empty where it has none. */
export function compareWithin(summary: Summary): RunComparison {
  const pairs = summary.groups.flatMap((head) => {
    const base = findGroup(summary, head, basePrefix + head.mode);
    return base === undefined ? [] : [{ base, head }];
  });
  return { changes: compareGroups(pairs, true), excluded: [] };
}

/** What differs between two runs as a whole, and may be the reason for any change: `another machine`. */
export function describeConditions(base: BenchRun, head: BenchRun): string[] {
  const [one, other] = [base.environment, head.environment];
  const hostOf = ({ machine }: typeof one) => JSON.stringify([machine.hostname, machine.cpu]);
  return [
    ...(hostOf(one) === hostOf(other) ? [] : ['another machine']),
    ...(one.versions.kernel === other.versions.kernel ? [] : ['another kernel']),
    ...(one.versions.containerd === other.versions.containerd ? [] : ['another containerd']),
  ];
}

interface GroupPair {
  readonly base: Group;
  readonly head: Group;
}

function compareGroups(pairs: readonly GroupPair[], isInterleaved: boolean): RunChange[] {
  const totals = compareTimes(
    pairs.map(({ base, head }) => ({ reference: observe(base), subject: observe(head), paired: isInterleaved })),
  );
  return pairs.map(({ base, head }, index) => ({
    workload: head.workload,
    mode: head.mode,
    rttMs: head.rttMs,
    bandwidthMbps: head.bandwidthMbps,
    tcp: head.tcp,
    base,
    head,
    total: totals[index],
    bytesRatio: ratioOf(head.medianWireBytes, base.medianWireBytes),
    requestsRatio: ratioOf(head.medianWireRequests, base.medianWireRequests),
    isInterleaved,
  }));
}

function findGroup({ groups }: Summary, like: Group, mode: string): Group | undefined {
  return groups.find((group) => group.workload === like.workload && group.mode === mode && isSameLink(group, like));
}

function whyAbsent({ path, summary }: BenchRun, { workload, mode, rttMs, bandwidthMbps }: Group): string {
  const isOtherModel = summary.groups.some(
    (one) =>
      one.workload === workload && one.mode === mode && one.rttMs === rttMs && one.bandwidthMbps === bandwidthMbps,
  );
  return isOtherModel ? `another model of TCP in ${path}` : `not in ${path}`;
}

function ratioOf(head: number | undefined, base: number | undefined): number | undefined {
  return head === undefined || base === undefined || base === 0 ? undefined : head / base;
}

/** By what they are called without the registry's address, which is another in each run. */
function haveSameImage(base: BenchRun, one: Group, head: BenchRun, other: Group): boolean {
  const imagesOf = ({ samples }: BenchRun, group: Group) => {
    const own = samples.filter((sample: Sample) => sample.workload === group.workload && sample.mode === group.mode);
    const names = own.flatMap(({ image }) => (image === undefined ? [] : [image.replace(/^[^/]+:\d+\//, '')]));
    return [...new Set(names)].sort().join();
  };
  return imagesOf(base, one) === imagesOf(head, other);
}

/** `python estargz, 30 ms RTT, 200 Mbit/s` */
export function describeChange({ workload, mode, ...link }: Pick<Group, 'workload' | 'mode'> & SampleLink): string {
  return [`${workload} ${mode}`, formatSampleLink(link)].filter((part) => part !== undefined).join(', ');
}
