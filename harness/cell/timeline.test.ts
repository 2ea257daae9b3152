import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TracedRequest } from '../link/link-trace.ts';
import { contentFetches, readMisses } from './daemon-trace.ts';
import { type StartRecord, timelineOf } from './timeline.ts';

const [one, other] = [`sha256:${'a'.repeat(64)}`, `sha256:${'b'.repeat(64)}`];
const line = (fields: object) => JSON.stringify({ level: 'trace', time: '2026-01-02T03:04:05.000Z', ...fields });
const fetched = (range: string, priority: string) =>
  line({ msg: 'content fetched', layer: one, path: '/f', range, priority, outcome: 'ok', bytes: 1 });
const request = (path: string, range?: string, sentMs = 1010): TracedRequest => ({
  ...{ method: 'GET', path, range, sentMs, firstByteMs: sentMs + 30, lastByteMs: sentMs + 40, bytes: 100 },
});
const counters = { bytes: 500, bytesUp: 0, requests: 5, connections: 1, cpuMs: 0 };
const phases: StartRecord['phases'] = [
  { phase: 'pull', startMs: 1000, endMs: 1100 },
  { phase: 'create', startMs: 1100, endMs: 1110 },
  { phase: 'run', startMs: 1110, endMs: 2000 },
];
/** On the wall clock the pull began at 03:04:05. */
const wallOffsetMs = Date.parse('2026-01-02T03:04:05.000Z') - 1000;

function whatsOf(requests: readonly TracedRequest[], daemonLog?: string) {
  const link = { counters, trace: { requests, arrivals: [] } };
  const record = { phases, wallOffsetMs, layerDigests: [one, other], link, ...(daemonLog ? { daemonLog } : {}) };
  return timelineOf(record).flatMap(({ kind, what }) => (kind === 'request' ? what : []));
}

test('times are counted from the begin of the pull, and ready is the end of the run phase', () => {
  const trace = { requests: [request('/v2/app/manifests/1')], arrivals: [] };
  const events = timelineOf({ phases, wallOffsetMs, layerDigests: [], link: { counters, trace } });
  assert.deepEqual(
    events.map(({ kind, what, atMs, firstByteMs, endMs, bytes }) => [kind, what, atMs, firstByteMs, endMs, bytes]),
    [
      ['phase', 'pull', 0, undefined, 100, undefined],
      ['request', 'manifest', 10, 40, 50, 100],
      ['phase', 'create', 100, undefined, 110, undefined],
      ['phase', 'run', 110, undefined, 1000, undefined],
      ['ready', undefined, 1000, undefined, undefined, 500],
    ],
  );
});

test('what a request was for is its path, and of a range what the daemon logged of it', () => {
  const blob = (digest: string | undefined, range?: string) => request(`/v2/app/blobs/${digest}`, range);
  const whole = [
    request('/v2/a/manifests/x'),
    blob(one),
    blob('sha256:c'),
    request('/v2/'),
    request('/v2/a/referrers/x'),
  ];
  assert.deepEqual(whatsOf(whole), ['manifest', 'layer', 'config', 'other', 'referrers']);
  const ranged = [
    blob(one, '-700'),
    blob(one, '0-99'),
    blob(one, '100-149'),
    blob(one, '900-950'),
    blob(other, '0-99'),
  ];
  assert.deepEqual(whatsOf(ranged), ['toc', 'range', 'range', 'range', 'range'], 'of a peer nobody knows');
  const log = [fetched('0-99', 'demand'), fetched('100-199', 'prefetch'), 'not JSON', ''].join('\n');
  assert.deepEqual(whatsOf(ranged, log), ['toc', 'demand', 'prefetch', 'toc', 'toc'], 'also a part that was resumed');
});

test('a miss lasts from the read to its answer, and one before the pull is of another start', () => {
  const answered = (msg: string, time: string, waitedMs: number) =>
    line({ msg, time, waitedMs, layer: one, path: '/lib/x', sizeBytes: 4096 });
  const daemonLog = [
    answered('FUSE read answered', '2026-01-02T03:04:04.900Z', 50),
    answered('FUSE read answered', '2026-01-02T03:04:05.300Z', 80),
    answered('fanotify event answered', '2026-01-02T03:04:05.500Z', 20.5),
    line({ msg: 'FUSE request', operation: 'READ', outcome: 'missed' }),
  ].join('\n');
  const misses = timelineOf({ phases, wallOffsetMs, layerDigests: [], daemonLog }).filter(
    ({ kind }) => kind === 'miss',
  );
  assert.deepEqual(misses, [
    { kind: 'miss', atMs: 220, endMs: 300, bytes: 4096, layer: one, path: '/lib/x' },
    { kind: 'miss', atMs: 479.5, endMs: 500, bytes: 4096, layer: one, path: '/lib/x' },
  ]);
});

test('arrivals are put together by time and lose no byte, however many they are', () => {
  const arrivals = Array.from({ length: 9000 }, (_, index) => ({ atMs: 1000 + index / 10, bytes: 1 + (index % 7) }));
  const record = { phases, wallOffsetMs, layerDigests: [], link: { counters, trace: { requests: [], arrivals } } };
  const rows = timelineOf(record).filter(({ kind }) => kind === 'bytes');
  assert.ok(rows.length <= 250, `${rows.length} rows`);
  const sum = (all: readonly { readonly bytes?: number | undefined }[]) =>
    all.reduce((total, { bytes = 0 }) => total + bytes, 0);
  assert.equal(sum(rows), sum(arrivals));
  for (const [index, { atMs }] of rows.entries()) assert.ok(index === 0 || rows[index - 1]!.endMs! <= atMs);
});

test('a log without traces, torn or of another version says nothing', () => {
  const log = [
    fetched('x', 'demand'),
    fetched('0-1', 'soon'),
    line({ msg: 'FUSE read answered' }),
    '{"msg":"content fetched"',
  ];
  assert.deepEqual(contentFetches(log.join('\n')), []);
  assert.deepEqual(readMisses(log.join('\n')), []);
});
