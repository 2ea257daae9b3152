import type { Environment } from '../../measurements/environment.ts';
import type { Sample } from '../../measurements/sample.ts';
import { sortSamples } from '../../measurements/stats/median.ts';
import { type Group, type GoodSample, isSameLink, type Overall } from '../../measurements/summary.ts';
import { type LinkRun, type Run, sampleLinkOf, type TimelineMark, timelineKeys } from '../run/run.ts';

/**
 * A run as JSON within its page: rows without their column names, and groups that name their samples by position. What was computed from
 * the samples is kept, so that the page shows the numbers of summary.csv.
 */
export interface PackedRun extends Pick<Run, 'runId' | 'workloads' | 'modes' | 'comparisonCount'> {
  readonly columns: readonly (keyof Sample)[];
  readonly rows: readonly (readonly unknown[])[];
  readonly links: readonly PackedLink[];
  /** By the keys of `timelineKeys`. */
  readonly timeline: readonly (readonly unknown[])[];
  readonly categories: readonly (readonly [string, string])[];
  readonly drift: Run['drift'] | null;
  readonly environment: Environment | null;
  readonly verdict: string | null;
}

interface PackedLink extends Pick<LinkRun, 'link' | 'name' | 'sampleCounts'> {
  readonly overall: readonly Overall[];
  readonly groups: readonly PackedGroup[];
}

type Rows = readonly number[];
type PackedGroup = Omit<Group, 'samples' | 'totalMs' | 'middle' | 'outliers'> & {
  readonly samples: Rows;
  readonly middle: number;
  readonly outliers: Rows;
};

export function packRun(run: Run): PackedRun {
  const {
    runId,
    workloads,
    modes,
    samples,
    links,
    timeline,
    categories,
    comparisonCount,
    drift = null,
    environment = null,
    verdict = null,
  } = run;
  const filled = samples.flatMap((sample) => Object.entries(sample).filter(([, value]) => value !== undefined));
  const columns = [...new Set(filled.map(([key]) => key as keyof Sample))];
  const positions = new Map<Sample, number>(samples.map((sample, index) => [sample, index]));
  const positionOf = (sample: Sample | undefined) => (sample === undefined ? -1 : positions.get(sample)!);
  return {
    ...{ runId, workloads, modes, comparisonCount, drift, environment, verdict, columns },
    categories: [...categories],
    rows: samples.map((sample) => columns.map((key) => sample[key])),
    timeline: timeline.map((event) => timelineKeys.map((key) => event[key])),
    links: links.map(({ link, name, sampleCounts, overall, groups }) => ({
      ...{ link, name, sampleCounts, overall },
      groups: groups.map(({ totalMs: _, ...group }) => ({
        ...group,
        samples: group.samples.map(positionOf),
        middle: positionOf(group.middle),
        outliers: group.outliers.map(positionOf),
      })),
    })),
  };
}

export function unpackRun(packed: PackedRun): Run {
  const { runId, workloads, modes, columns, comparisonCount, drift } = packed;
  const samples = packed.rows.map((row) => {
    const cells = columns.map((key, index) => [key, row[index] ?? undefined] as const);
    return Object.fromEntries(cells) as unknown as GoodSample;
  });
  const links = packed.links.map((one): LinkRun => {
    const groups = one.groups.map((group): Group => {
      const own = group.samples.map((row) => samples[row]!);
      const totalMs = sortSamples(own.map((sample) => sample.totalMs));
      return {
        ...group,
        samples: own,
        totalMs,
        middle: samples[group.middle],
        outliers: group.outliers.map((row) => samples[row]!),
      };
    });
    const here = samples.filter((sample) => isSameLink(sample, sampleLinkOf(one)));
    return { ...one, link: one.link, groups, samples: here };
  });
  return {
    ...{ runId, workloads, modes, samples, links, comparisonCount },
    timeline: packed.timeline.map((row) => {
      const fields = timelineKeys.map((key, index) => [key, row[index] ?? undefined] as const);
      return Object.fromEntries(fields) as unknown as TimelineMark;
    }),
    drift: drift ?? undefined,
    categories: new Map(packed.categories),
    environment: packed.environment ?? undefined,
    verdict: packed.verdict ?? undefined,
  };
}
