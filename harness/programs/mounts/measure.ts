import { Bench } from 'tinybench';
import { dropCaches } from '../../host/caches.ts';
import { type Random, shuffle } from '../../../measurements/stats/random.ts';
import type { Condition, Row } from './rows.ts';
import type { View } from './views.ts';

export interface Sample {
  readonly row: string;
  readonly condition: Condition;
  readonly backend: string;
  readonly round: number;
  /** Of one run. */
  readonly durationMs: number;
}

/**
 * Times a row on every view, once a round each, in another order every round, so that whatever else the machine does hits
 * all alike. Warm: each right after a run that is not counted, for the page cache may be taken back while the others have
 * their turn (a virtual machine's host does so with DAMON, and "warm" reads came from the disk). Cold: caches dropped before.
 */
export async function measureRow(
  row: Row,
  condition: 'warm' | 'cold',
  views: readonly View[],
  { rounds, random }: { readonly rounds: number; readonly random: Random },
  signal: AbortSignal,
): Promise<Sample[]> {
  const runs = condition === 'warm' ? (row.warmRuns ?? 1) : 1;
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++) {
    const bench = new Bench({ name: row.key, iterations: 1, time: 0, warmup: false, throws: true, signal });
    for (const { backend, root } of shuffle(views, random)) {
      const beforeEach = async () => {
        if (condition === 'cold' || row.fill !== undefined) await dropCaches(signal);
        if (condition === 'cold') return;
        await row.fill?.(root, signal);
        await row.run(root, signal);
      };
      const runAll = async () => {
        for (let run = 0; run < runs; run++) await row.run(root, signal);
      };
      bench.add(backend, runAll, { async: true, beforeEach });
    }
    await bench.run();
    signal.throwIfAborted();
    for (const { name, result } of bench.tasks) {
      if (result.state !== 'completed') continue;
      samples.push({ row: row.key, condition, backend: name, round, durationMs: result.latency.mean / runs });
    }
  }
  return samples;
}
