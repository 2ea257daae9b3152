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

/** For each image or snapshot. The time limits of the Prepares of images hold some of it for a minute. */
const maxHeapGrowthKb = { images: 4.1, snapshots: 1 } as const;
/** Independent of the amount of work: feedback of the JIT compiler, caches. */
const maxFixedHeapGrowthKb = 250;
/** Of all rounds. What is not the JavaScript heap's is only known to be somewhere in the RSS, which swings. */
const maxRssGrowthKib = { images: 8_000, snapshots: 15_000 } as const;

/** Of each face and work the sample that grew the most. */
export function limitsOf(rows: readonly MemoryRow[]): Limit[] {
  return [...Map.groupBy(rows, ({ face, work }) => `${work}, ${face}`)].flatMap(([name, group]) => {
    const work = group[0]!.work as keyof typeof maxHeapGrowthKb;
    const heapKb = Math.max(...group.map((row) => (row.heapAfterBytes - row.heapBeforeBytes) / 1000));
    const maxHeapKb = maxFixedHeapGrowthKb + operations(group[0]!) * maxHeapGrowthKb[work];
    const rssKib = Math.max(...group.map((row) => row.rssAfterKib - row.rssBeforeKib));
    return [
      holdTo(`growth of the heap, ${name}`, heapKb, maxHeapKb, 'kB'),
      holdTo(`growth of the RSS, ${name}`, rssKib, maxRssGrowthKib[work], 'KiB'),
    ];
  });
}

function operations({ rounds, perRound }: MemoryRow): number {
  return rounds * perRound;
}
