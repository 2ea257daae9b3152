export interface RowIdentity {
  readonly runId: string;
  readonly sample: number;
  readonly order: number;
  readonly workload: string;
  readonly mode: string;
  readonly rttMs: number;
  /** Megabits a second; undefined is an unlimited link. */
  readonly bandwidthMbps: number | undefined;
  /** RFC 3339, UTC; for people. Intervals come from the monotonic clock. */
  readonly startedAt: string;
}

/** What a cell leaves behind whether it succeeded or not. Missing is "not measured". */
export interface Observations {
  /** The reference that was pulled. */
  readonly image?: string | undefined;
  readonly snapshotter?: string | undefined;
  /** What served the layers: overlayfs, fuse, erofs. */
  readonly mount?: string | undefined;
  /** Why the daemon mounts them that way: configured, or what its probe of the machine found. */
  readonly mountReason?: string | undefined;
  /** Registry to client, over the link, from the start of the pull to readiness. */
  readonly wireBytes?: number | undefined;
  readonly wireRequests?: number | undefined;
  readonly layers?: number | undefined;
  readonly lazyLayers?: number | undefined;
  /** Compressed: the sum of the layers' sizes in the manifest that was pulled. */
  readonly imageBytes?: number | undefined;
  readonly daemonRssPeakKib?: number | undefined;
  /** Of the small process beside the daemon that holds its descriptors. */
  readonly keeperRssPeakKib?: number | undefined;
  readonly daemonCpuMs?: number | undefined;
  readonly containerdCpuMs?: number | undefined;
  /** What was odd about a cell that counts all the same. */
  readonly warnings?: readonly string[] | undefined;
}

/** A cell's result. A failure has no durations: a timeout or an unproven pull must never be read as a number. */
export type Outcome = Observations &
  (
    | { readonly ok: true; readonly pullMs: number; readonly createMs: number; readonly runMs: number }
    | { readonly ok: false; readonly error: string }
  );

/**
 * A row of samples.csv: one cell, measured or failed. Units stand in the names. `undefined` is "not measured" and becomes
 * an empty cell, never 0.
 */
export interface Row extends RowIdentity, Omit<Observations, 'warnings'> {
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

export type ColumnType = 'text' | 'integer' | 'number' | 'boolean';

export interface Column {
  readonly key: keyof Row;
  /** The heading in samples.csv. */
  readonly name: string;
  readonly type: ColumnType;
}

/** The columns of samples.csv, in order. */
export const columns: readonly Column[] = [
  { key: 'runId', name: 'run_id', type: 'text' },
  { key: 'sample', name: 'sample', type: 'integer' },
  { key: 'order', name: 'order', type: 'integer' },
  { key: 'workload', name: 'workload', type: 'text' },
  { key: 'image', name: 'image', type: 'text' },
  { key: 'mode', name: 'mode', type: 'text' },
  { key: 'snapshotter', name: 'snapshotter', type: 'text' },
  { key: 'mount', name: 'mount', type: 'text' },
  { key: 'mountReason', name: 'mount_reason', type: 'text' },
  { key: 'pullMs', name: 'pull_ms', type: 'number' },
  { key: 'createMs', name: 'create_ms', type: 'number' },
  { key: 'runMs', name: 'run_ms', type: 'number' },
  { key: 'totalMs', name: 'total_ms', type: 'number' },
  { key: 'wireBytes', name: 'wire_bytes', type: 'integer' },
  { key: 'wireRequests', name: 'wire_requests', type: 'integer' },
  { key: 'layers', name: 'layers', type: 'integer' },
  { key: 'lazyLayers', name: 'lazy_layers', type: 'integer' },
  { key: 'daemonRssPeakKib', name: 'daemon_rss_peak_kib', type: 'integer' },
  { key: 'keeperRssPeakKib', name: 'keeper_rss_peak_kib', type: 'integer' },
  { key: 'daemonCpuMs', name: 'daemon_cpu_ms', type: 'number' },
  { key: 'ok', name: 'ok', type: 'boolean' },
  { key: 'error', name: 'error', type: 'text' },
  { key: 'imageBytes', name: 'image_bytes', type: 'integer' },
  { key: 'rttMs', name: 'rtt_ms', type: 'number' },
  { key: 'bandwidthMbps', name: 'bandwidth_mbps', type: 'number' },
  { key: 'containerdCpuMs', name: 'containerd_cpu_ms', type: 'number' },
  { key: 'startedAt', name: 'started_at', type: 'text' },
  { key: 'warnings', name: 'warnings', type: 'text' },
];

export function buildRow(identity: RowIdentity, outcome: Outcome): Row {
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
