import { describeCommit } from '../../measurements/format.ts';
import { type Limit, renderLimits } from '../../measurements/limit.ts';
import { say } from '../cli/program.ts';
import { formatPath } from '../cli/terminal.ts';
import type { Results, ResultsEnd } from './results.ts';

/** Completes the results of a program and prints its limits and the directory. True if all limits are met. */
export async function conclude(
  results: Results,
  limits: readonly Limit[] = [],
  details: ResultsEnd['details'] = {},
): Promise<boolean> {
  await results.complete({ ...(limits.length > 0 ? { limits } : {}), details });
  say(`\n${renderLimits(limits)}results  ${formatPath(results.path)}/, ${describeCommit(results.environment)}`);
  return limits.every((limit) => limit.met);
}
