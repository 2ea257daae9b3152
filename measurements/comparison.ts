import { adjustForMany } from './stats/holm.ts';
import { leastP, mannWhitney } from './stats/mann-whitney.ts';
import { type Interval, minSamplesForInterval, type SortedSamples, sortSamples } from './stats/median.ts';
import { type Pair, pairedRatio, type Ratio, unpairedRatio } from './stats/ratio.ts';

/** What a comparison comes to. `no difference shown` is not a proof that there is none: its interval says how much there may be. */
export const verdicts = ['faster', 'slower', 'no difference shown', 'too few samples'] as const;
export type Verdict = (typeof verdicts)[number];

/** A good sample of one side. */
export interface Observation {
  /** The block of the run: what was measured in one round belongs together. */
  readonly round: number;
  /** Above 0; a time in any unit, the same on both sides. */
  readonly value: number;
  /** The machine, where not all rounds are of one. */
  readonly place?: string;
}

export interface ComparisonRequest {
  readonly reference: readonly Observation[];
  readonly subject: readonly Observation[];
  /** Whether both were measured in the same rounds of one run, on one machine. */
  readonly paired: boolean;
}

export interface Comparison {
  /** Of times: subject / reference, by round where paired. Below 1: the subject is faster. */
  readonly ratio: number;
  readonly ratioInterval: Interval | undefined;
  /** Rounds in which both were measured; of an unpaired comparison, the size of the smaller side. */
  readonly roundCount: number;
  /** Mann-Whitney, two-sided. */
  readonly p: number;
  /** After Holm's adjustment for all comparisons made at once. */
  readonly adjustedP: number;
  /** The chance that the subject is faster than the reference, ties counting half: 0.5 is no effect. */
  readonly effectSize: number;
  readonly verdict: Verdict;
}

export const significanceLevel = 0.05;
/** A change below it is not worth a word, however surely it was measured. */
export const smallestChange = 0.02;

/**
 * Compares each subject with its reference, and adjusts for their number. Undefined where a side has no sample, or where a paired
 * comparison has no round in common.
 */
export function compareTimes(requests: readonly ComparisonRequest[]): (Comparison | undefined)[] {
  const tested = requests.map(testOne);
  const present = tested.filter((one) => one !== undefined);
  const adjusted = adjustForMany(present.map(({ p }) => p));
  return tested.map((one) => {
    if (one === undefined) return undefined;
    const { smallestP, ...comparison } = one;
    const adjustedP = adjusted[present.indexOf(one)]!;
    const isTooSmall = comparison.ratioInterval === undefined || smallestP * present.length > significanceLevel;
    const verdict = isTooSmall
      ? 'too few samples'
      : adjustedP > significanceLevel
        ? 'no difference shown'
        : verdictOfRatio({ ratio: comparison.ratio, interval: comparison.ratioInterval });
    return { ...comparison, adjustedP, verdict };
  });
}

/** By size and interval alone: the interval is on one side of 1, and the change is worth a word. */
export function verdictOfRatio({ ratio, interval }: Ratio): Verdict {
  if (interval === undefined) return 'too few samples';
  const isSmall = Math.abs(Math.log(ratio)) < Math.log1p(smallestChange);
  if (isSmall || (interval.low <= 1 && interval.high >= 1)) return 'no difference shown';
  return ratio < 1 ? 'faster' : 'slower';
}

/** The fewest samples of each side with which this many comparisons can have a verdict. */
export function samplesForVerdict(comparisonCount: number): number {
  let samples = minSamplesForInterval;
  while (leastP(samples, samples) * comparisonCount > significanceLevel) samples++;
  return samples;
}

type Tested = Omit<Comparison, 'adjustedP' | 'verdict'> & { readonly smallestP: number };

function testOne({ reference, subject, paired }: ComparisonRequest): Tested | undefined {
  const sides = [valuesOf(reference), valuesOf(subject)] as const;
  const [base, own] = sides;
  if (base === undefined || own === undefined) return undefined;
  const [first, ...rest] = paired ? pairByRound(reference, subject) : [];
  if (paired && first === undefined) return undefined;
  const { ratio, interval } = first === undefined ? unpairedRatio(base, own) : pairedRatio([first, ...rest]);
  return {
    ratio,
    ratioInterval: interval,
    roundCount: first === undefined ? Math.min(base.length, own.length) : rest.length + 1,
    ...mannWhitney(...alignPlaces(reference, subject)),
    smallestP: leastP(base.length, own.length),
  };
}

/** What was measured of both in the same rounds, in the order of `subject`. */
export function pairByRound(reference: readonly Observation[], subject: readonly Observation[]): Pair[] {
  const byRound = new Map(reference.map(({ round, value }) => [round, value]));
  return subject.flatMap(({ round, value }) => {
    const other = byRound.get(round);
    return other === undefined ? [] : [{ reference: other, subject: value }];
  });
}

/**
 * Both sides without what differs between machines: each value relative to the mean of both sides on its machine (aligned ranks, Hodges and
 * Lehmann 1962). A machine that has only one of the sides cannot be aligned, and stays as it is.
 */
function alignPlaces(
  reference: readonly Observation[],
  subject: readonly Observation[],
): readonly [SortedSamples, SortedSamples] {
  const placesOf = (side: readonly Observation[]) => new Set(side.map(({ place }) => place));
  const [places, otherPlaces] = [placesOf(reference), placesOf(subject)];
  const isOne = new Set([...places, ...otherPlaces]).size === 1;
  const isAligned = (place: string | undefined) => !isOne && places.has(place) && otherPlaces.has(place);
  const usual = new Map(
    [...Map.groupBy([...reference, ...subject], ({ place }) => place)].map(([place, own]) => [
      place,
      own.reduce((sum, { value }) => sum + Math.log(value), 0) / own.length,
    ]),
  );
  const align = (side: readonly Observation[]) =>
    side.map(({ value, place }) => (isAligned(place) ? value / Math.exp(usual.get(place)!) : value));
  return [sortSamples(align(reference))!, sortSamples(align(subject))!];
}

function valuesOf(side: readonly Observation[]): SortedSamples | undefined {
  return sortSamples(side.map(({ value }) => value));
}
