import type { Random } from '../../measurements/stats/random.ts';
import { shuffle } from '../../measurements/stats/random.ts';

export interface Named {
  readonly name: string;
}

/** One measurement to make. `order` counts from 1 in the order of execution, `sample` from 1 within workload and mode. */
export interface Cell<W extends Named = Named, M extends Named = Named> {
  readonly order: number;
  readonly workload: W;
  readonly mode: M;
  readonly sample: number;
}

export interface PlanRequest<W extends Named, M extends Named> {
  readonly workloads: readonly W[];
  readonly modes: readonly M[];
  readonly samples: number;
  readonly random: Random;
}

/**
 * A randomised complete block design: block k holds sample k of every (workload, mode), in random order. So a drift of
 * the machine over the run (thermal, neighbours, a filling disk) meets every mode alike, and a run cut short is balanced
 * to within one block.
 */
export function buildPlan<W extends Named, M extends Named>(request: PlanRequest<W, M>): Cell<W, M>[] {
  const cells: Cell<W, M>[] = [];
  for (let sample = 1; sample <= request.samples; sample++) {
    const block = request.workloads.flatMap((workload) => request.modes.map((mode) => ({ workload, mode })));
    for (const { workload, mode } of shuffle(block, request.random)) {
      cells.push({ order: cells.length + 1, workload, mode, sample });
    }
  }
  return cells;
}
