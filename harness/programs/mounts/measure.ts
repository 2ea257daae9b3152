import { Bench } from 'tinybench';
import { dropCaches } from '../../host/caches.ts';
import { type Random, shuffle } from '../../../measurements/stats/random.ts';
import type { MountTiming } from '../../../measurements/mount-summary.ts';
import type { Operation } from './operations.ts';
import type { View } from './views.ts';

/** The duration is that of one run. */
export type MountSample = Omit<MountTiming, 'runId'>;

/**
 * Times an operation on every view once a round, in a new order each round, so that whatever else the machine does affects
 * all alike. Warm: right after a run that is not counted, because the page cache may be reclaimed while the other views are
 * measured (the host of a virtual machine does so with DAMON, and "warm" reads came from the disk). Cold: caches dropped first.
 */
export async function measureOperation(
  operation: Operation,
  condition: 'warm' | 'cold',
  views: readonly View[],
  { rounds, random }: { readonly rounds: number; readonly random: Random },
  signal: AbortSignal,
): Promise<MountSample[]> {
  const runs = condition === 'warm' ? (operation.warmRuns ?? 1) : 1;
  const samples: MountSample[] = [];
  for (let round = 1; round <= rounds; round++) {
    const bench = new Bench({ name: operation.name, iterations: 1, time: 0, warmup: false, throws: true, signal });
    for (const { backend, root } of shuffle(views, random)) {
      const beforeEach = async () => {
        if (condition === 'cold' || operation.fill !== undefined) await dropCaches(signal);
        if (condition === 'cold') return;
        await operation.fill?.(root, signal);
        await operation.run(root, signal);
      };
      const runAll = async () => {
        for (let run = 0; run < runs; run++) await operation.run(root, signal);
      };
      bench.add(backend, runAll, { async: true, beforeEach });
    }
    await bench.run();
    signal.throwIfAborted();
    for (const { name, result } of bench.tasks) {
      if (result.state !== 'completed') continue;
      samples.push({
        operation: operation.name,
        condition,
        backend: name,
        sample: round,
        durationMs: result.latency.mean / runs,
      });
    }
  }
  return samples;
}
