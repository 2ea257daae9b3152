import { writeResultFile } from '../run/result-dir.ts';
import type { RunResult } from '../run/run.ts';

export interface EnvironmentStart {
  readonly runId: string;
  readonly commandLine: readonly string[];
  readonly seed: number;
  readonly samples: number;
  readonly link: { readonly rttMs: number; readonly bandwidthMbps: number | undefined };
  readonly workloads: readonly { readonly name: string; readonly title: string }[];
  readonly modes: readonly { readonly name: string; readonly title: string }[];
  readonly machine: object;
  /** What on the machine may have disturbed the run. */
  readonly warnings: readonly string[];
}

/** environment.json: under which conditions the numbers came about. Written at the start, completed at the end. */
export async function openEnvironment(resultDir: string, start: EnvironmentStart) {
  const { bandwidthMbps } = start.link;
  const opening = {
    ...start,
    link: { ...start.link, bandwidthMbps: bandwidthMbps ?? 'unlimited' },
    random: 'xoshiro128** seeded by SplitMix32; blocks of all workload x mode pairs, each shuffled (Fisher-Yates)',
    startedAt: new Date().toISOString(),
  };
  const write = (record: object) =>
    writeResultFile(resultDir, 'environment.json', `${JSON.stringify(record, null, 2)}\n`);
  await write({ ...opening, status: 'running' });
  return {
    complete: async (result: RunResult, images: Readonly<Record<string, unknown>>) => {
      const status = result.aborted ? 'interrupted' : 'complete';
      const failedCount = result.rows.filter((row) => !row.ok).length;
      const endedAt = new Date().toISOString();
      await write({ ...opening, ...images, endedAt, status, rowCount: result.rows.length, failedCount });
    },
  };
}
