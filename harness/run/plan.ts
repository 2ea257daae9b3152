import type { LinkSetting } from '../../measurements/environment.ts';
import { type Random, shuffle } from '../../measurements/stats/random.ts';
import type { Workload } from '../../workloads/workload.ts';
import type { Mode } from './mode.ts';

/** One measurement to make. `order` counts from 1 in the order of execution, `sample` from 1 within workload, mode and link. */
export interface Cell {
  readonly order: number;
  readonly workload: Workload;
  readonly mode: Mode;
  /** Undefined: none is emulated. */
  readonly link: LinkSetting | undefined;
  readonly sample: number;
}

export interface BlockRequest {
  readonly workloads: readonly Workload[];
  readonly modes: readonly Mode[];
  /** One undefined: none is emulated. */
  readonly links: readonly (LinkSetting | undefined)[];
  readonly random: Random;
}

/**
 * A randomised complete block design: block k holds sample k of every (workload, mode, link), in random order. A drift of the
 * machine over the run (temperature, neighbours, a filling disk) then affects every mode alike, and an interrupted run is
 * balanced to within one block. The blocks never end, and the first ones are the same however many are taken.
 */
export function* drawBlocks({ workloads, modes, links, random }: BlockRequest): Generator<readonly Cell[], never> {
  const all = workloads.flatMap((workload) => modes.flatMap((mode) => links.map((link) => ({ workload, mode, link }))));
  for (let sample = 1; ; sample++) {
    const before = (sample - 1) * all.length;
    yield shuffle(all, random).map((what, index) => ({ order: before + index + 1, ...what, sample }));
  }
}

export interface PlanRequest extends BlockRequest {
  readonly samples: number;
}

/** The cells of the first `samples` blocks, in order. */
export function buildPlan({ samples, ...request }: PlanRequest): Cell[] {
  return drawBlocks(request).take(samples).toArray().flat();
}
