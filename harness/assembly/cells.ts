import { formatSeconds } from '../../measurements/format.ts';
import { type Sample, sampleColumns } from '../../measurements/sample.ts';
import { seededRandom } from '../../measurements/stats/random.ts';
import type { LinkSetting } from '../../measurements/environment.ts';
import { say } from '../cli/program.ts';
import { buildPlan, type PlanRequest } from '../run/plan.ts';
import type { Results } from '../run/results.ts';
import { type CellExecutor, runPlan } from '../run/run.ts';

export interface MeasureRequest extends Omit<PlanRequest, 'random' | 'links'> {
  readonly seed: number;
  readonly executor: CellExecutor;
  readonly link: LinkSetting;
  readonly results: Results;
}

/** Measures every workload in every mode, with a row of samples.csv and a line of output for each. Rejects on abort. */
export async function measureCells(
  { seed, executor, link, results, ...request }: MeasureRequest,
  signal: AbortSignal,
): Promise<readonly Sample[]> {
  const cells = buildPlan({ ...request, links: [link], random: seededRandom(seed) });
  const sink = await results.openTable('samples', sampleColumns);
  const observer = {
    cellStarted: () => {},
    phaseStarted: () => {},
    cellFinished: ({ order }: { order: number }, sample: Sample) =>
      say(`[${order}/${cells.length}] ${describe(sample)}`),
  };
  const plan = { runId: results.runId, blocks: [cells], executor, sink, observer, now: () => new Date() };
  const { samples } = await runPlan(plan, signal);
  signal.throwIfAborted();
  return samples;
}

function describe({ workload, mode, daemonState, ok, totalMs, error }: Sample): string {
  const state = daemonState === undefined ? '' : ` ${daemonState}`;
  return `${workload} ${mode}${state}: ${ok ? `${formatSeconds(totalMs)} s` : `FAILED: ${error}`}`;
}
