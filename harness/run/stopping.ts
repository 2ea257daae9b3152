import type { Sample } from '../../measurements/sample.ts';
import type { Cell } from './plan.ts';
import { type DisplayOrder, type Group, summarize } from '../../measurements/summary.ts';

/** When a run has measured enough, before its last block. */
export interface StoppingRule {
  /** Of a speed-up, half its interval: 0.05 is ± 5 %. Undefined: as many blocks as there may be. */
  readonly until: number | undefined;
  /** No block begins that, at the pace of the one before, would end later. Undefined: no limit. */
  readonly budgetMs: number | undefined;
}

export type StopReason = 'samples' | 'precision' | 'budget';

export interface StopWatch {
  /** Asked before each block; `samples` are all so far. */
  isEnough(samples: readonly Sample[], block: readonly Cell[]): boolean;
  readonly reason: StopReason;
}

/** `onBlock` is told of every block that will be measured. `now` is monotonic, in milliseconds. */
export function watchStop(
  rule: StoppingRule,
  order: DisplayOrder,
  onBlock: (block: readonly Cell[]) => void,
  now: () => number,
): StopWatch {
  const startedAt = now();
  let reason: StopReason = 'samples';
  let before: { readonly at: number; readonly sampleCount: number } | undefined;
  let blockMs: number | undefined;
  return {
    get reason() {
      return reason;
    },
    isEnough: (samples, block) => {
      const at = now();
      // A block that an earlier run has measured takes no time, and tells nothing about the next.
      if (before !== undefined && samples.length > before.sampleCount) blockMs = at - before.at;
      before = { at, sampleCount: samples.length };
      const spentMs = at - startedAt;
      if (rule.until !== undefined && isPrecise(samples, order, rule.until)) reason = 'precision';
      else if (rule.budgetMs !== undefined && blockMs !== undefined && spentMs + blockMs > rule.budgetMs) {
        reason = 'budget';
      } else onBlock(block);
      return reason !== 'samples';
    },
  };
}

/** `every speed-up is known to ± 5 %`, for the end of a run. */
export function describeStop(reason: StopReason, { until = 0 }: Pick<StoppingRule, 'until'>): string | undefined {
  switch (reason) {
    case 'precision':
      return `every speed-up is known to ± ${Math.round(until * 1000) / 10} %`;
    case 'budget':
      return 'the time budget is used up';
    case 'samples':
      return until === 0 ? undefined : `not every speed-up is known to ± ${Math.round(until * 1000) / 10} %`;
  }
}

/** Where nothing is compared, the medians themselves count. A group without a good sample can never be precise, and is left out. */
function isPrecise(samples: readonly Sample[], order: DisplayOrder, until: number): boolean {
  const groups = summarize(samples, order).groups.filter((group) => group.middle !== undefined);
  const compared = groups.filter((group) => group.speedUp !== undefined);
  const widths = compared.length > 0 ? compared.map(speedUpWidth) : groups.map(medianWidth);
  return widths.length > 0 && widths.every((width) => width <= until);
}

function speedUpWidth({ speedUp, speedUpInterval }: Group): number {
  if (speedUp === undefined || speedUpInterval === undefined) return Number.POSITIVE_INFINITY;
  return (speedUpInterval.high - speedUpInterval.low) / 2 / speedUp;
}

function medianWidth({ totalInterval }: Group): number {
  if (totalInterval === undefined) return Number.POSITIVE_INFINITY;
  return (totalInterval.high - totalInterval.low) / (totalInterval.high + totalInterval.low);
}
