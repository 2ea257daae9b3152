import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../../testkit/until.ts';
import { readStatus, statusFileName } from '../api/status.ts';
import { noLog } from '../platform/log.ts';
import { createCounters } from './counters.ts';
import { noMetrics } from './metrics.ts';
import { openStatus } from './status.ts';

const limit = { timeout: 20_000 };
const identity = {
  version: '1.2.3',
  commit: null,
  logLevel: 'info',
  config: { path: '/config.toml', warnings: ['w'] },
};

function open(t: TestContext, log = noLog) {
  const root = mkdtempSync(join(tmpdir(), 'status-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const metrics = createCounters(noMetrics);
  const counters = () => ({ layersMounted: 0, readHits: null, ...metrics.values });
  return { root, metrics, status: openStatus(root, identity, counters, log) };
}

const nextTurn = () => new Promise(setImmediate);

test('the file names the process from the start, and follows each change within a turn', limit, async (t) => {
  const { root, status, metrics } = open(t);
  const first = readStatus(root)!;
  assert.deepEqual([first.state, first.pid, first.version, first.commit], ['starting', process.pid, '1.2.3', null]);
  assert.deepEqual(first.node, { version: process.version, options: process.execArgv });
  assert.deepEqual(first.keeper, { pid: null, reason: 'starting' });
  metrics.lazyMount(3);
  status.change({ state: 'serving', listening: { grpc: '/s.sock', cri: null, metrics: '127.0.0.1:9' } });
  status.change({ keeper: { pid: 7, reason: null } });
  await nextTurn();
  const second = readStatus(root)!;
  assert.deepEqual([second.state, second.keeper, second.counters.lazyMounts], ['serving', { pid: 7, reason: null }, 1]);
  assert.equal(second.listening.metrics, '127.0.0.1:9');
  status.close();
  const last = readStatus(root)!;
  assert.deepEqual([last.state, last.listening.grpc], ['stopped', null]);
  assert.deepEqual(readdirSync(root), [statusFileName]);
});

test('the last 20 fallbacks are kept with their reasons, all are counted', limit, async (t) => {
  const { root, status, metrics } = open(t);
  for (let index = 0; index < 25; index++) {
    metrics.fallback({ reason: index < 5 ? 'timeout' : 'not-lazy' });
    status.addFallback({ reason: 'not-lazy', error: null, image: `image-${index}`, digest: null });
  }
  await nextTurn();
  const { fallbacks, counters } = readStatus(root)!;
  assert.deepEqual([fallbacks.length, fallbacks[0]?.image, fallbacks.at(-1)?.image], [20, 'image-5', 'image-24']);
  assert.deepEqual(counters.fallbacks, { timeout: 5, 'not-lazy': 20 });
});

test('counters count by priority, and keep the longest wait', limit, (t) => {
  const { status, metrics } = open(t);
  metrics.fetch.ensured('demand', 'miss');
  metrics.fetch.ensured('demand', 'joined');
  metrics.fetch.ensured('background', 'miss');
  for (const durationMs of [3, 41.4, 5]) metrics.fetch.demandWaited(durationMs);
  metrics.fetch.requestFinished('prefetch', 'error', 1);
  metrics.fetch.requestFinished('demand', 'ok', 1);
  metrics.fetch.bytesFetched('demand', 100);
  metrics.fetch.chunkRejected();
  const { demand, fetched, chunksRejected } = status.document().counters;
  assert.deepEqual(demand, { missed: 1, joined: 1, maxWaitMs: 41 });
  assert.deepEqual(fetched.demand, { requests: 1, failed: 0, bytes: 100 });
  assert.deepEqual(fetched.prefetch, { requests: 1, failed: 1, bytes: 0 });
  assert.equal(chunksRejected, 1);
});

test('a file that cannot be written is one warning, and the daemon goes on', limit, async (t) => {
  const warnings: string[] = [];
  const { root, status } = open(t, { ...noLog, warn: (_, message) => void warnings.push(message) });
  rmSync(join(root, statusFileName));
  mkdirSync(join(root, statusFileName, 'in-the-way'), { recursive: true });
  for (let attempt = 0; attempt < 3; attempt++) {
    status.change({ state: 'serving' });
    await nextTurn();
  }
  assert.deepEqual(warnings, ['status file cannot be written']);
  rmSync(join(root, statusFileName), { recursive: true });
  await until('the file is written after all', () => readStatus(root)?.state === 'serving', { limitMs: 10_000 });
  status.close();
});

test('no document is none, and one of another schema is refused', limit, (t) => {
  const { root } = open(t);
  assert.equal(readStatus(join(root, 'nothing')), undefined);
  writeFileSync(join(root, statusFileName), '{"schemaVersion":2}');
  assert.throws(() => readStatus(root), /schema version 2 is not supported/);
});

test('every field of the document is described in docs/debugging.md, and nothing else', limit, (t) => {
  const { status } = open(t);
  const text = readFileSync(new URL('../../docs/debugging.md', import.meta.url), 'utf8');
  const described = [...text.matchAll(/^\| `([\w.]+)` \|/gm)].map(([, name]) => name!);
  assert.deepEqual(described.sort(), namesOf(status.document()).sort());
});

/**
 * `a`, and `a.b` for the fields of an object; those whose names are data, or that are records of a list, count as one.
 */
function namesOf(document: object): string[] {
  return Object.entries(document).flatMap(([name, value]) =>
    ['node', 'config', 'listening', 'keeper', 'counters'].includes(name)
      ? Object.keys(value as object).map((inner) => `${name}.${inner}`)
      : [name],
  );
}
