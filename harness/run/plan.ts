import { type Random, shuffle } from '../../measurements/stats/random.ts';
import type { Workload } from '../../workloads/workload.ts';
import type { Mode } from './mode.ts';

/** One measurement to make. `order` counts from 1 in the order of execution, `sample` from 1 within workload and mode. */
export interface Cell {
  readonly order: number;
  readonly workload: Workload;
  readonly mode: Mode;
  readonly sample: number;
}

export interface PlanRequest {
  readonly workloads: readonly Workload[];
  readonly modes: readonly Mode[];
  readonly samples: number;
  readonly random: Random;
}

/**
 * A randomised complete block design: block k holds sample k of every (workload, mode), in random order. A drift of the
 * machine over the run (temperature, neighbours, a filling disk) then affects every mode alike, and an interrupted run is
 * balanced to within one block.
 */
export function buildPlan(request: PlanRequest): Cell[] {
  const cells: Cell[] = [];
  for (let sample = 1; sample <= request.samples; sample++) {
    const block = request.workloads.flatMap((workload) => request.modes.map((mode) => ({ workload, mode })));
    for (const { workload, mode } of shuffle(block, request.random)) {
      cells.push({ order: cells.length + 1, workload, mode, sample });
    }
  }
  return cells;
}
