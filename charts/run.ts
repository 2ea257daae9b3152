import type { Environment } from '../measurements/environment.ts';
import type { Sample } from '../measurements/sample.ts';
import { baselineMode, type DisplayOrder, goodSamples, type Summary, summarize } from '../measurements/summary.ts';
import { median, sortSamples } from '../measurements/stats/median.ts';
import { modeColors } from './theme.ts';

/** What the charts of one run of `bench` are drawn from. */
export interface Run extends Summary {
  readonly samples: readonly Sample[];
  readonly sampleCounts: { readonly min: number; readonly max: number };
  /** Undefined where environment.json is absent or of an older form. */
  readonly environment: Environment | undefined;
}

const knownModes = [baselineMode, ...Object.keys(modeColors).filter((mode) => mode !== baselineMode)];
const secondRuns = ['again', 'shared'];

export function readRun(samples: readonly Sample[], environment: Environment | undefined): Run {
  const summary = summarize(samples, displayOrder(samples));
  const counts = summary.groups.map((group) => group.samples.length);
  return { ...summary, samples, sampleCounts: { min: Math.min(...counts), max: Math.max(...counts) }, environment };
}

/** Known modes first, each before its second runs; workloads by the median total of the first mode, quickest first. */
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

/** `estargz/erofs` and `estargz+again` rank with `estargz`, and second runs behind it; unknown modes, such as peers', are last. */
function rankOf(mode: string): number {
  const [name = '', second = ''] = mode.split('/')[0]!.split('+');
  const rank = knownModes.indexOf(name);
  return rank < 0 ? knownModes.length : rank + (secondRuns.indexOf(second) + 1) / 10;
}
