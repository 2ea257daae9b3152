import { holdTo, type Limit } from '../../../measurements/limit.ts';
import type { Columns } from '../../../measurements/table.ts';

/** What a process holds at one moment. */
export interface Held {
  /** The JavaScript heap and its buffers, after garbage was collected. */
  readonly heapBytes: number;
  readonly rssKib: number;
}

/** A row of samples.csv: a daemon before and after `rounds` of work on `perRound` images or snapshots. */
export interface MemoryRow {
  readonly face: string;
  readonly work: string;
  readonly sample: number;
  readonly rounds: number;
  readonly perRound: number;
  readonly heapBeforeBytes: number;
  readonly heapAfterBytes: number;
  readonly rssBeforeKib: number;
  readonly rssAfterKib: number;
}

export const memoryColumns: Columns<MemoryRow> = {
  face: 'text',
  work: 'text',
  sample: 'integer',
  rounds: 'integer',
  perRound: 'integer',
  heapBeforeBytes: 'integer',
  heapAfterBytes: 'integer',
  rssBeforeKib: 'integer',
  rssAfterKib: 'integer',
};

/** Per image or snapshot. For a minute, the time limits of the Prepares of images hold some of it. */
const maxHeapGrowth = { images: 4.096, snapshots: 1 } as const;
/** Of all rounds. What is not the JavaScript heap's is only known to be somewhere in the RSS, which swings. */
const maxRssGrowthKib = { images: 8_000, snapshots: 15_000 } as const;

/** Of each face and work the sample that grew the most. */
export function limitsOf(rows: readonly MemoryRow[]): Limit[] {
  return [...Map.groupBy(rows, ({ face, work }) => `${work}, ${face}`)].flatMap(([name, group]) => {
    const work = group[0]!.work as keyof typeof maxHeapGrowth;
    const heapKb = Math.max(...group.map((row) => (row.heapAfterBytes - row.heapBeforeBytes) / operations(row) / 1000));
    const rssKib = Math.max(...group.map((row) => row.rssAfterKib - row.rssBeforeKib));
    return [
      holdTo(`growth of the heap for each of the ${name}`, heapKb, maxHeapGrowth[work], 'kB'),
      holdTo(`growth of the RSS, ${name}`, rssKib, maxRssGrowthKib[work], 'KiB'),
    ];
  });
}

function operations({ rounds, perRound }: MemoryRow): number {
  return rounds * perRound;
}
