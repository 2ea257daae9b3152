import { holdTo, type Limit } from '../../../measurements/limit.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import type { Columns } from '../../../measurements/table.ts';

export const converters = ['ours', 'ctr-remote'] as const;
export type Converter = (typeof converters)[number];

/** A row of samples.csv: one conversion from local storage to local storage, by a process of its own. */
export interface ConvertTiming {
  readonly image: string;
  readonly converter: Converter;
  readonly level: number;
  readonly sample: number;
  readonly convertMs: number;
  /** Of the layers. */
  readonly sourceBytes: number;
  readonly convertedBytes: number;
}

export const convertTimingColumns: Columns<ConvertTiming> = {
  image: 'text',
  converter: 'text',
  level: 'integer',
  sample: 'integer',
  convertMs: 'number',
  sourceBytes: 'integer',
  convertedBytes: 'integer',
};

/** Our time and size as shares of the other's. */
const maxTimeRatio = 1 / 3;
const maxSizeRatio = 1.02;

export function limitsOf(timings: readonly ConvertTiming[]): Limit[] {
  return [...Map.groupBy(timings, ({ image }) => image)].flatMap(([image, group]) => {
    const medianOf = (converter: Converter, key: 'convertMs' | 'convertedBytes'): number =>
      median(sortSamples(group.filter((timing) => timing.converter === converter).map((timing) => timing[key]))!);
    const ratioOf = (key: 'convertMs' | 'convertedBytes') => medianOf('ours', key) / medianOf('ctr-remote', key);
    return [
      holdTo(`time to convert ${image}, of ctr-remote's`, ratioOf('convertMs'), maxTimeRatio, '×'),
      holdTo(`size of ${image}, of ctr-remote's`, ratioOf('convertedBytes'), maxSizeRatio, '×'),
    ];
  });
}
