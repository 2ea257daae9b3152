import type { DisplayOrder } from '../../measurements/summary.ts';
import type { Reporter } from '../cli/reporter.ts';
import type { Cell } from '../run/plan.ts';
import { LiveProgress } from './live.ts';
import { PlainProgress } from './plain.ts';
import type { RunObserver } from '../run/run.ts';

/** Shows what is going on, from the first package to the last cell. */
export interface Progress extends Reporter, RunObserver {
  /** The plan is made. `title` stays visible while it runs; tables follow `order`. */
  begin(title: string, cells: readonly Cell[], order: DisplayOrder): void;
  /** More cells follow those of the plan. */
  extend(cells: readonly Cell[]): void;
  /** Restores the terminal. Idempotent. */
  end(): void;
}

export interface ProgressOutput {
  write(text: string): void;
  readonly columns: number;
  readonly isTTY: boolean;
}

/** A live display on a terminal, plain lines in a pipe or CI. Honours NO_COLOR (no-color.org). */
export function createProgress(
  output: ProgressOutput,
  env: Readonly<Record<string, string | undefined>>,
  now: () => number,
): Progress {
  const live = output.isTTY && !env.CI && env.TERM !== 'dumb';
  return live ? new LiveProgress(output, usesColor(output, env), now) : new PlainProgress(output, now);
}

export function usesColor(output: ProgressOutput, env: Readonly<Record<string, string | undefined>>): boolean {
  return output.isTTY && !env.NO_COLOR && env.TERM !== 'dumb';
}
