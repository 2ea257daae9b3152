import type { Environment } from '../measurements/environment.ts';
import type { Sample } from '../measurements/sample.ts';
import { baselineMode, type DisplayOrder, goodSamples, type Summary, summarize } from '../measurements/summary.ts';
import { median, sortSamples } from '../measurements/stats/median.ts';

/** What the charts of one run of `bench` are drawn from. */
export interface Run extends Summary {
  readonly samples: readonly Sample[];
  readonly sampleCounts: { readonly min: number; readonly max: number };
  /** Undefined where environment.json is absent or of an older form. */
  readonly environment: Environment | undefined;
}

const knownModes = [baselineMode, 'stargz', 'estargz'];

export function readRun(samples: readonly Sample[], environment: Environment | undefined): Run {
  const summary = summarize(samples, displayOrder(samples), environment?.seed ?? 0);
  const counts = summary.groups.map((group) => group.samples.length);
  return { ...summary, samples, sampleCounts: { min: Math.min(...counts), max: Math.max(...counts) }, environment };
}

/** Known modes first; workloads by the median total of the first mode, quickest first. */
function displayOrder(samples: readonly Sample[]): DisplayOrder {
  const names = [...new Set(samples.map((sample) => sample.mode))];
  const modes = names.sort((one, other) => rankOf(one) - rankOf(other) || one.localeCompare(other, 'en'));
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

/** `estargz/erofs` ranks with `estargz`. */
function rankOf(mode: string): number {
  const rank = knownModes.indexOf(mode.split('/')[0]!);
  return rank < 0 ? knownModes.length : rank;
}
