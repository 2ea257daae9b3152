import { join } from 'node:path';
import { MeasurementError } from './error.ts';
import { columnName, type Columns, damagedTable, parseTable, readTable } from './table.ts';

export interface SampleIdentity {
  readonly runId: string;
  /** Counts from 1 within workload and mode. */
  readonly sample: number;
  /** Counts from 1 in the order of execution. */
  readonly order: number;
  readonly workload: string;
  readonly mode: string;
  /** Undefined: no link was emulated. */
  readonly rttMs: number | undefined;
  /** Megabits a second; undefined is an unlimited link. */
  readonly bandwidthMbps: number | undefined;
  /** How the link models TCP: `slow start`, `slow start, 0.1 % loss`. Undefined: not at all. */
  readonly tcp?: string | undefined;
  /** RFC 3339, UTC; for people. Durations come from the monotonic clock. */
  readonly startedAt: string;
}

/** What a cell leaves behind whether it succeeded or not. Undefined is "not measured". */
export interface Observations {
  /** The reference that was pulled. */
  readonly image?: string | undefined;
  readonly snapshotter?: string | undefined;
  /** What the daemon had pulled and run before: nothing (`fresh`), another image (`warm`, `shared`: with layers of this one), this one (`again`). */
  readonly daemonState?: string | undefined;
  /** What served the layers: overlayfs, fuse, erofs, overlay2 (Docker Engine). */
  readonly mount?: string | undefined;
  /** Why the daemon mounts them that way: configured, or found by its probe of the machine. */
  readonly mountReason?: string | undefined;
  /** Registry to client, over the link, from the start of the pull to readiness. */
  readonly wireBytes?: number | undefined;
  readonly wireRequests?: number | undefined;
  readonly layers?: number | undefined;
  readonly lazyLayers?: number | undefined;
  /** Compressed: the sum of the layers' sizes in the manifest that was pulled. */
  readonly imageBytes?: number | undefined;
  readonly daemonRssPeakKib?: number | undefined;
  /** Of the keeper, the small process beside the daemon that holds its descriptors; of a peer, of the processes it started. */
  readonly keeperRssPeakKib?: number | undefined;
  /** From its start on; of a second run, from the measured pull on. */
  readonly daemonCpuMs?: number | undefined;
  readonly containerdCpuMs?: number | undefined;
  /** What was odd about a cell that counts all the same. */
  readonly warnings?: readonly string[] | undefined;
}

/** The result of a cell. A failure has no durations: a timeout or an unproven pull must never be read as a number. */
export type Outcome = Observations &
  (
    | { readonly ok: true; readonly pullMs: number; readonly createMs: number; readonly runMs: number }
    | { readonly ok: false; readonly error: string }
  );

/** One cell, measured or failed: a row of samples.csv. */
export interface Sample extends SampleIdentity, Omit<Observations, 'warnings'> {
  readonly ok: boolean;
  readonly error: string | undefined;
  readonly pullMs: number | undefined;
  readonly createMs: number | undefined;
  readonly runMs: number | undefined;
  /** The sum of the three phases; only where all three were measured. */
  readonly totalMs: number | undefined;
  /** Separated by "; ". */
  readonly warnings: string | undefined;
}

export const sampleColumns: Columns<Sample> = {
  runId: 'text',
  sample: 'integer',
  order: 'integer',
  workload: 'text',
  image: 'text',
  mode: 'text',
  snapshotter: 'text',
  daemonState: 'text',
  mount: 'text',
  mountReason: 'text',
  pullMs: 'number',
  createMs: 'number',
  runMs: 'number',
  totalMs: 'number',
  wireBytes: 'integer',
  wireRequests: 'integer',
  layers: 'integer',
  lazyLayers: 'integer',
  daemonRssPeakKib: 'integer',
  keeperRssPeakKib: 'integer',
  daemonCpuMs: 'number',
  ok: 'boolean',
  error: 'text',
  imageBytes: 'integer',
  rttMs: 'number',
  bandwidthMbps: 'number',
  containerdCpuMs: 'number',
  startedAt: 'text',
  warnings: 'text',
  tcp: 'text',
};

const required = ['runId', 'sample', 'order', 'workload', 'mode', 'ok', 'startedAt'] as const;
/** Of cells that succeeded. */
const phases = ['pullMs', 'createMs', 'runMs', 'totalMs'] as const;

/** Reads samples.csv of a run of `bench`. Throws MeasurementError. */
export async function readSamples(directory: string): Promise<Sample[]> {
  const path = join(directory, 'samples.csv');
  return checkPhases(await readTable(sampleColumns, { path, required }), path);
}

export function parseSamples(text: string, path: string): Sample[] {
  return checkPhases(parseTable(sampleColumns, text, { path, required }), path);
}

/** A table without its times would read as one of failures. */
function checkPhases(samples: Sample[], path: string): Sample[] {
  for (const { ok, workload, mode, sample, ...times } of samples) {
    const key = ok ? phases.find((phase) => times[phase] === undefined) : undefined;
    if (key === undefined) continue;
    const cell = `${workload} ${mode}, sample ${sample}`;
    throw new MeasurementError('bad-csv', `${path} has no ${columnName(key)} of ${cell}, which succeeded`, {
      remedy: damagedTable,
    });
  }
  return samples;
}

export function buildSample(identity: SampleIdentity, outcome: Outcome): Sample {
  const { warnings, ...observed } = outcome;
  return {
    ...identity,
    ...{ pullMs: undefined, createMs: undefined, runMs: undefined },
    ...observed,
    totalMs: outcome.ok ? outcome.pullMs + outcome.createMs + outcome.runMs : undefined,
    error: outcome.ok ? undefined : oneLine(outcome.error),
    warnings: warnings?.length ? warnings.map(oneLine).join('; ') : undefined,
  };
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
