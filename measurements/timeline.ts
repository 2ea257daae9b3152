import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MeasurementError } from './error.ts';
import type { SampleIdentity } from './sample.ts';
import { type Columns, parseTable } from './table.ts';

/** What a request asks for; `range`: a part of a layer of which it is not known who wanted it. */
export const requestKinds = [
  'manifest',
  'config',
  'referrers',
  'toc',
  'prefetch',
  'demand',
  'background',
  'range',
  'layer',
  'other',
] as const;
export type RequestKind = (typeof requestKinds)[number];

export type TimelineEventKind =
  /** `what` is pull, create or run. */
  | 'phase'
  /** The end of the run phase; its bytes are all that the link had counted when it was asked, right after. */
  | 'ready'
  /** Over the link. Sent at `atMs`; the first and the last of its bytes arrived at `firstByteMs` and `endMs`. */
  | 'request'
  /** All bytes that arrived between two moments, of whatever request. */
  | 'bytes'
  /** A read of what was not there, from when the kernel asked to when it was answered. */
  | 'miss';

/** Something that happened during one start. Times are milliseconds since the pull began; those of misses are whole ones. */
export interface StartEvent {
  readonly kind: TimelineEventKind;
  readonly what?: 'pull' | 'create' | 'run' | RequestKind | undefined;
  readonly atMs: number;
  readonly firstByteMs?: number | undefined;
  /** Undefined: nothing had arrived when the link was asked. */
  readonly endMs?: number | undefined;
  /** Registry to client, over the link, with HTTP's heads; of a miss, what was asked for. */
  readonly bytes?: number | undefined;
  /** Digest. */
  readonly layer?: string | undefined;
  /** Of the layer's blob, `FIRST-LAST` or `-LENGTH` as in HTTP. */
  readonly range?: string | undefined;
  /** Of the file that was read. */
  readonly path?: string | undefined;
}

/** A row of timeline.csv. */
export interface TimelineEvent
  extends StartEvent,
    Pick<SampleIdentity, 'runId' | 'workload' | 'mode' | 'rttMs' | 'bandwidthMbps' | 'tcp'> {}

export const timelineColumns: Columns<TimelineEvent> = {
  runId: 'text',
  workload: 'text',
  mode: 'text',
  rttMs: 'number',
  bandwidthMbps: 'number',
  tcp: 'text',
  kind: 'text',
  what: 'text',
  atMs: 'number',
  firstByteMs: 'number',
  endMs: 'number',
  bytes: 'integer',
  layer: 'text',
  range: 'text',
  path: 'text',
};

const required = ['runId', 'workload', 'mode', 'kind', 'atMs'] as const;

/** Reads timeline.csv of a run of `bench`; none where it was made without one. Throws MeasurementError. */
export async function readTimeline(directory: string): Promise<TimelineEvent[]> {
  const path = join(directory, 'timeline.csv');
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw new MeasurementError('missing-file', `cannot read ${path} (${cause.code})`, { cause });
  });
  return text === undefined ? [] : parseTable(timelineColumns, text, { path, required });
}
