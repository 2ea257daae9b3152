import type { Sample } from './samples.ts';

/** A sample that counts: all three phases and their sum are there. */
export interface GoodSample extends Sample {
  readonly pullMs: number;
  readonly createMs: number;
  readonly runMs: number;
  readonly totalMs: number;
}

/** One workload in one mode. */
export interface Group {
  readonly workload: string;
  readonly mode: string;
  /** Ascending by total. */
  readonly samples: readonly GoodSample[];
  readonly failedCount: number;
  readonly medianTotalMs: number | undefined;
  /**
   * The sample in the middle (of an even number, the lower of the two): its phases add up to a total that was measured,
   * which medians of the single phases would not.
   */
  readonly middle: GoodSample | undefined;
  /** median total of legacy / median total: above 1 is faster. */
  readonly speedUp: number | undefined;
}

export interface Run {
  readonly groups: readonly Group[];
  /** In the order of display: known ones first. */
  readonly modes: readonly string[];
  /** Quickest to pull whole first. */
  readonly workloads: readonly string[];
  readonly sampleCounts: { readonly least: number; readonly most: number };
  readonly samples: readonly Sample[];
}

export const baselineMode = 'legacy';
const knownModes = [baselineMode, 'stargz', 'estargz'];

export function groupSamples(samples: readonly Sample[]): Run {
  const names = [...new Set(samples.map((sample) => sample.mode))];
  const modes = names.sort((one, other) => rankOf(one) - rankOf(other) || one.localeCompare(other, 'en'));
  const totalOf = (workload: string, mode: string | undefined) =>
    median(goodSamples(samples, workload, mode).map((sample) => sample.totalMs));
  const workloads = [...new Set(samples.map((sample) => sample.workload))].sort(
    (one, other) =>
      (totalOf(one, modes[0]) ?? Number.MAX_VALUE) - (totalOf(other, modes[0]) ?? Number.MAX_VALUE) ||
      one.localeCompare(other, 'en'),
  );
  const groups = workloads.flatMap((workload) =>
    modes.flatMap((mode) => {
      const own = samples.filter((sample) => sample.workload === workload && sample.mode === mode);
      return own.length === 0 ? [] : [describe(workload, mode, own, totalOf(workload, baselineMode))];
    }),
  );
  const counts = groups.map((group) => group.samples.length);
  const sampleCounts = { least: Math.min(...counts), most: Math.max(...counts) };
  return { groups, modes, workloads, sampleCounts, samples };
}

/** `estargz/erofs` stands with `estargz`. */
function rankOf(mode: string): number {
  const rank = knownModes.indexOf(mode.split('/')[0]!);
  return rank < 0 ? knownModes.length : rank;
}

/** Geometric mean of the speed-ups of a mode over the workloads that have one. */
export function meanSpeedUp(run: Run, mode: string): number | undefined {
  const ratios = run.groups.flatMap((group) => (group.mode === mode ? (group.speedUp ?? []) : []));
  if (ratios.length === 0) return undefined;
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}

export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function describe(workload: string, mode: string, own: readonly Sample[], baselineMs: number | undefined): Group {
  const good = goodSamples(own, workload, mode);
  const medianTotalMs = median(good.map((sample) => sample.totalMs));
  return {
    workload,
    mode,
    samples: good,
    failedCount: own.length - good.length,
    medianTotalMs,
    middle: good[Math.ceil(good.length / 2) - 1],
    speedUp: mode !== baselineMode && baselineMs && medianTotalMs ? baselineMs / medianTotalMs : undefined,
  };
}

function goodSamples(samples: readonly Sample[], workload: string, mode: string | undefined): GoodSample[] {
  return samples
    .filter((sample) => sample.workload === workload && sample.mode === mode && isGood(sample))
    .map((sample) => sample as GoodSample)
    .sort((one, other) => one.totalMs - other.totalMs);
}

function isGood(sample: Sample): sample is GoodSample {
  const { ok, pullMs, createMs, runMs, totalMs } = sample;
  return ok && [pullMs, createMs, runMs, totalMs].every((value) => value !== undefined);
}
