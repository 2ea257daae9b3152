import type { Environment, LinkSetting } from '../../measurements/environment.ts';
import { formatSampleLink, formatTcp, parseTcp } from '../../measurements/format.ts';
import type { Sample } from '../../measurements/sample.ts';
import { basePrefix } from '../../measurements/run-comparison.ts';
import { median, sortSamples } from '../../measurements/stats/median.ts';
import { geometricMean } from '../../measurements/stats/ratio.ts';
import {
  baselineMode,
  type DisplayOrder,
  type Group,
  goodSamples,
  isSameLink,
  type Overall,
  type SampleLink,
  type Summary,
  summarize,
} from '../../measurements/summary.ts';
import type { TimelineEvent } from '../../measurements/timeline.ts';
import { knownModes } from '../drawing/theme.ts';

/** What was measured over one link. */
export interface LinkRun {
  /** Undefined where no link was emulated. */
  readonly link: LinkSetting | undefined;
  /** `30 ms RTT, 200 Mbit/s` */
  readonly name: string;
  /** In the order of the run's workloads, then of its modes. */
  readonly groups: readonly Group[];
  readonly overall: readonly Overall[];
  readonly samples: readonly Sample[];
  readonly sampleCounts: { readonly min: number; readonly max: number };
}

/** What a chart shows of an event of a traced start. */
export type TimelineMark = Pick<TimelineEvent, (typeof timelineKeys)[number]>;

export const timelineKeys = [
  ...([
    'workload',
    'mode',
    'rttMs',
    'bandwidthMbps',
    'tcp',
    'kind',
    'what',
    'atMs',
    'firstByteMs',
    'endMs',
    'bytes',
  ] as const),
] as const;

/** What the charts and the report of one run of `bench` are made from. */
export interface Run extends DisplayOrder, Pick<Summary, 'comparisonCount' | 'drift'> {
  readonly runId: string;
  readonly samples: readonly Sample[];
  /** From the shortest round trip and the lowest bandwidth on; at least one. */
  readonly links: readonly LinkRun[];
  /** Of traced starts, which are no samples; empty where there were none. */
  readonly timeline: readonly TimelineMark[];
  /** The category of each workload, where environment.json has it. */
  readonly categories: ReadonlyMap<string, string>;
  /** Undefined where environment.json is absent. */
  readonly environment: Environment | undefined;
  /** verdict.txt: what the run says about an image of the user's own. Undefined where there was none. */
  readonly verdict: string | undefined;
}

/** The link that charts of one link show by themselves: the one nearest to the default of `bench`. */
export const usualLink = { rttMs: 30, bandwidthMbps: 200 } as const;

const secondRuns = ['again', 'shared'];

/** What a run may have beside its samples. */
export interface RunFiles {
  readonly verdict?: string | undefined;
  readonly timeline?: readonly TimelineEvent[];
}

export function readRun(
  samples: readonly Sample[],
  environment: Environment | undefined,
  { verdict, timeline = [] }: RunFiles = {},
): Run {
  const order = displayOrder(samples);
  const { links, groups, overall, comparisonCount, drift } = summarize(samples, order);
  return {
    ...{ ...order, comparisonCount, drift },
    runId: samples[0]?.runId ?? '',
    samples,
    links: links.map((at): LinkRun => {
      const { rttMs, bandwidthMbps } = at;
      const tcp = parseTcp(at.tcp);
      const isHere = (row: SampleLink) => isSameLink(row, at);
      const own = groups.filter(isHere);
      return {
        link: rttMs === undefined ? undefined : { rttMs, bandwidthMbps, ...(tcp === undefined ? {} : { tcp }) },
        name: linkName(at),
        groups: own,
        overall: overall.filter(isHere),
        samples: samples.filter(isHere),
        sampleCounts: countSamples(own),
      };
    }),
    timeline: timeline.map(
      (event) => Object.fromEntries(timelineKeys.map((key) => [key, event[key]])) as unknown as TimelineMark,
    ),
    categories: categoriesOf(environment),
    environment,
    verdict,
  };
}

/** The statistics of all links together. */
export function summaryOf({ workloads, modes, comparisonCount, drift, links }: Run): Summary {
  return {
    ...{ workloads, modes, comparisonCount, drift },
    links: links.map(sampleLinkOf),
    groups: links.flatMap(({ groups }) => groups),
    overall: links.flatMap(({ overall }) => overall),
  };
}

/** As its samples have it. */
export function sampleLinkOf({ link }: Pick<LinkRun, 'link'>): SampleLink {
  return { rttMs: link?.rttMs, bandwidthMbps: link?.bandwidthMbps, tcp: link?.tcp && formatTcp(link.tcp) };
}

/** The link of those given that is nearest to the usual one. */
export function referenceLink(links: readonly LinkRun[]): LinkRun {
  const distance = ({ link }: LinkRun) =>
    link === undefined
      ? 0
      : Math.abs(Math.log((link.rttMs + 1) / (usualLink.rttMs + 1))) +
        Math.abs(Math.log((link.bandwidthMbps ?? 100_000) / usualLink.bandwidthMbps));
  return links.toSorted((one, other) => distance(one) - distance(other))[0]!;
}

/** What a filter leaves. Means are taken anew, without intervals; a filter that takes nothing away leaves the run as it is. */
export function filterRun(run: Run, keep: { workload(name: string): boolean; mode(name: string): boolean }): Run {
  const workloads = run.workloads.filter(keep.workload);
  const modes = run.modes.filter(keep.mode);
  if (workloads.length === run.workloads.length && modes.length === run.modes.length) return run;
  const keeps = (row: { workload: string; mode: string }) => keep.workload(row.workload) && keep.mode(row.mode);
  const links = run.links.map((link): LinkRun => {
    const groups = link.groups.filter(keeps);
    const overall = link.overall.flatMap((one) => {
      const ratios = groups.flatMap((group) => (group.mode === one.mode ? (group.speedUp ?? []) : []));
      if (!keep.mode(one.mode)) return [];
      const speedUp = ratios.length === 0 ? undefined : geometricMean(ratios);
      return [{ ...one, workloadCount: ratios.length, speedUp, speedUpInterval: undefined, verdict: undefined }];
    });
    const samples = link.samples.filter(keeps);
    return { ...link, groups, overall, samples, sampleCounts: countSamples(groups) };
  });
  const [samples, timeline] = [run.samples.filter(keeps), run.timeline.filter(keeps)];
  return { ...run, workloads, modes, links, samples, timeline };
}

export function linkName(link: SampleLink): string {
  return formatSampleLink(link) ?? 'no emulated link';
}

function countSamples(groups: readonly Group[]): LinkRun['sampleCounts'] {
  const counts = groups.map((group) => group.samples.length);
  return { min: Math.min(...counts), max: Math.max(0, ...counts) };
}

/** Known modes first, each before its second runs; workloads by the median total of the first mode, quickest first. */
function displayOrder(samples: readonly Sample[]): DisplayOrder {
  const names = [...new Set(samples.map((sample) => sample.mode))];
  const modes = names.sort((one, other) => rankMode(one) - rankMode(other) || one.localeCompare(other, 'en'));
  const totals = new Map(
    [...Map.groupBy(samples, (sample) => sample.workload)].map(([workload, own]) => {
      const good = goodSamples(own.filter((sample) => sample.mode === modes[0]));
      const sorted = sortSamples(good.map((sample) => sample.totalMs));
      return [workload, sorted === undefined ? Number.MAX_VALUE : median(sorted)];
    }),
  );
  const workloads = [...totals.keys()].sort(
    (one, other) => totals.get(one)! - totals.get(other)! || one.localeCompare(other, 'en'),
  );
  return { modes, workloads };
}

/** `estargz/erofs` and `estargz+again` rank with `estargz`, and second runs behind it, the other commit's `base:estargz` too; unknown modes, such as peers', are last. */
function rankMode(mode: string): number {
  const [name = '', second = ''] = mode.replace(basePrefix, '').split('/')[0]!.split('+');
  const ranks = [baselineMode, ...knownModes.filter((known) => known !== baselineMode)];
  const rank = ranks.indexOf(name);
  const isBase = mode.startsWith(basePrefix);
  return (rank < 0 ? ranks.length : rank + (secondRuns.indexOf(second) + 1) / 10) + (isBase ? 0.01 : 0);
}

function categoriesOf(environment: Environment | undefined): ReadonlyMap<string, string> {
  const described = environment?.details.workloads;
  if (!Array.isArray(described)) return new Map();
  return new Map(
    described.flatMap(({ name, category }: { name?: unknown; category?: unknown }) =>
      typeof name === 'string' && typeof category === 'string' ? [[name, category] as const] : [],
    ),
  );
}
