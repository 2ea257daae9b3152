import { join } from 'node:path';
import { type Columns, readTable } from './table.ts';

/** Page cache full of the data, dropped, or no data at all: a layer filled on demand. */
export type MountCondition = 'warm' | 'cold' | 'demand';

/** A row of samples.csv of `bench:mounts`: one operation on one mount in one round. */
export interface MountTiming {
  readonly runId: string;
  readonly operation: string;
  readonly condition: MountCondition;
  /** overlayfs on unpacked files, or what lies below it: erofs, fuse, fuse-1 (FUSE with other options). */
  readonly backend: string;
  readonly sample: number;
  readonly durationMs: number;
}

export const mountTimingColumns: Columns<MountTiming> = {
  runId: 'text',
  operation: 'text',
  condition: 'text',
  backend: 'text',
  sample: 'integer',
  durationMs: 'number',
};

/** A row of its summary.csv. */
export interface MountSummary {
  readonly operation: string;
  readonly title: string;
  readonly condition: MountCondition;
  readonly backend: string;
  readonly n: number;
  readonly medianMs: number;
  /** Median over the rounds of the time divided by overlayfs's time in the same round. */
  readonly ratio: number;
  /** The largest ratio allowed; undefined where none is set. */
  readonly maxRatio: number | undefined;
}

export const mountSummaryColumns: Columns<MountSummary> = {
  operation: 'text',
  title: 'text',
  condition: 'text',
  backend: 'text',
  n: 'integer',
  medianMs: 'number',
  ratio: 'number',
  maxRatio: 'number',
};

/** Reads summary.csv of a run of `bench:mounts`. Throws MeasurementError. */
export function readMountSummary(directory: string): Promise<MountSummary[]> {
  const path = join(directory, 'summary.csv');
  return readTable(mountSummaryColumns, { path, required: ['operation', 'title', 'condition', 'backend', 'ratio'] });
}
