import { type Verdict, verdicts } from '../../measurements/comparison.ts';
import { describeDrift } from '../../measurements/drift.ts';
import { formatFactor } from '../../measurements/format.ts';
import { basePrefix } from '../../measurements/run-comparison.ts';
import type { Interval } from '../../measurements/stats/median.ts';
import type { Overall } from '../../measurements/summary.ts';
import { changesFromBase, describeChanges } from '../run/changes.ts';
import { describeAllLinks } from '../run/conditions.ts';
import { type LinkRun, type Run, referenceLink } from '../run/run.ts';

/** What a run comes to, in plain words. */
export interface Words {
  readonly title: string;
  /** Sentences. */
  readonly lede: readonly string[];
}

const maxNames = 4;

/** Does lazy pulling pay? Of first runs, over the link nearest to the usual one. */
export function describeRun(run: Run): Words {
  const at = referenceLink(run.links);
  const [best] = rankModes(at);
  if (best === undefined) {
    const changes = changesFromBase(run);
    if (changes !== undefined) {
      const lede = [
        `Two commits in the same rounds; ${describeAllLinks(run)}.`,
        describeFailures(run),
        describeTrend(run),
      ];
      return { title: `Beside the base commit: ${describeChanges(changes)}`, lede: lede.filter(isSaid) };
    }
    return { title: 'From pull to ready', lede: ['No mode was measured beside legacy, so nothing is compared.'] };
  }
  return {
    title: describeBest(best),
    lede: [
      describeMean(best, at),
      describeLinks(run, best),
      describeBase(run),
      countVerdicts(run),
      describeFailures(run),
      describeTrend(run),
    ].filter(isSaid),
  };
}

function isSaid(sentence: string): boolean {
  return sentence !== '';
}

/** Modes with a speed-up over their reference, the fastest first; without second runs, which were given a start, and without those of another commit. */
export function rankModes({ overall }: LinkRun): (Overall & { speedUp: number })[] {
  return overall
    .flatMap((one) =>
      one.speedUp === undefined || one.mode.includes('+') || one.mode.startsWith(basePrefix)
        ? []
        : [{ ...one, speedUp: one.speedUp }],
    )
    .sort((one, other) => other.speedUp - one.speedUp);
}

/** `, 95 % interval 9.8 to 11`, or nothing. */
export function describeInterval(interval: Interval | undefined): string {
  return interval === undefined
    ? ''
    : `, 95 % interval ${formatFactor(interval.low)} to ${formatFactor(interval.high)}`;
}

function describeBest({ mode, reference, speedUp, verdict }: Overall & { speedUp: number }): string {
  switch (verdict) {
    case 'no difference shown':
      return `No difference shown between ${mode} and ${reference}`;
    case 'slower':
      return `Nothing is faster than ${reference}: ${mode} takes ${formatFactor(1 / speedUp)} times as long`;
    default:
      return speedUp >= 1
        ? `${mode} is ready ${formatFactor(speedUp)} times as fast as ${reference}`
        : `Nothing is faster than ${reference}: ${mode} takes ${formatFactor(1 / speedUp)} times as long`;
  }
}

function describeMean({ workloadCount, speedUpInterval, verdict }: Overall, at: LinkRun): string {
  const mean = workloadCount === 1 ? 'One workload' : `Geometric mean of ${workloadCount} workloads`;
  const few = verdict === 'too few samples' ? '; too few samples for an interval' : '';
  return `${mean}${at.link === undefined ? '' : `, ${at.name}`}${describeInterval(speedUpInterval)}${few}.`;
}

function describeLinks(run: Run, { mode }: Overall): string {
  const here = run.links.flatMap(({ name, overall }) => {
    const speedUp = overall.find((one) => one.mode === mode)?.speedUp;
    return speedUp === undefined ? [] : [{ name, speedUp }];
  });
  if (here.length < 2) return '';
  const ranked = here.toSorted((one, other) => one.speedUp - other.speedUp);
  const describe = ({ name, speedUp }: { name: string; speedUp: number }) => `${formatFactor(speedUp)} (${name})`;
  return `Over the ${here.length} links, ${mode} is from ${describe(ranked[0]!)} to ${describe(ranked.at(-1)!)} times as fast.`;
}

/** `Of 86 comparisons: 80 faster, 2 slower (a stargz, b stargz), 4 no difference shown.` */
function countVerdicts({ links }: Run): string {
  const compared = links.flatMap(({ name, groups }) =>
    groups.flatMap(({ workload, mode, verdict }) =>
      verdict === undefined || mode.startsWith(basePrefix) ? [] : [{ workload, mode, verdict, name }],
    ),
  );
  const parts = verdicts.flatMap((verdict) => {
    const own = compared.filter((one) => one.verdict === verdict);
    return own.length === 0
      ? []
      : [`${own.length} ${verdict}${verdict === 'slower' ? ` (${list(own, links.length > 1)})` : ''}`];
  });
  if (compared.length > 0 && compared.every(({ verdict }) => verdict === 'too few samples')) {
    return 'There are too few samples for a verdict on each workload.';
  }
  return compared.length === 0 ? '' : `Of ${compared.length} comparisons: ${parts.join(', ')}.`;
}

function list(
  cells: readonly { workload: string; mode: string; name: string; verdict: Verdict }[],
  withLink: boolean,
): string {
  const names = cells
    .slice(0, maxNames)
    .map(({ workload, mode, name }) => `${workload} ${mode}${withLink ? ` at ${name}` : ''}`);
  return [...names, ...(cells.length > maxNames ? [`${cells.length - maxNames} more`] : [])].join(', ');
}

/** What `bench --base` is for. */
function describeBase(run: Run): string {
  const changes = changesFromBase(run);
  return changes === undefined ? '' : `Beside the base commit, in the same rounds: ${describeChanges(changes)}.`;
}

function describeFailures({ samples }: Run): string {
  const failed = samples.filter((sample) => !sample.ok).length;
  return failed === 0 ? '' : `${failed} of ${samples.length} cells failed and count nowhere.`;
}

function describeTrend({ drift }: Run): string {
  const words = describeDrift(drift);
  return words === undefined ? '' : `The machine drifted: ${words}; all modes met that alike.`;
}
