import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringifyTable } from './table.ts';
import { readTimeline, type TimelineEvent, timelineColumns } from './timeline.ts';

test('a timeline is read as it was written; a run may have none, and a malformed one is refused', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'stargz-bench-timeline-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  assert.deepEqual(await readTimeline(directory), []);
  const path = join(directory, 'timeline.csv');
  const place = { runId: 'r1', workload: 'gcc', mode: 'estargz', rttMs: 30, bandwidthMbps: undefined, tcp: undefined };
  const events: TimelineEvent[] = [
    { ...place, kind: 'request', what: 'demand', atMs: 1.5, firstByteMs: 31.25, endMs: 40, bytes: 4096, range: '-700' },
    { ...place, kind: 'miss', atMs: 1, endMs: 41, bytes: 4096, layer: 'sha256:a', path: '/a "b",\n' },
    { ...place, kind: 'ready', atMs: 50 },
  ];
  const text = stringifyTable(timelineColumns, events);
  assert.match(
    text,
    /^run_id,workload,mode,rtt_ms,bandwidth_mbps,tcp,kind,what,at_ms,first_byte_ms,end_ms,bytes,layer/,
  );
  await writeFile(path, text);
  const whole = (event: object) => Object.fromEntries(Object.entries(event).filter(([, value]) => value !== undefined));
  assert.deepEqual((await readTimeline(directory)).map(whole), events.map(whole));
  await writeFile(path, text.replace('at_ms', 'at'));
  await assert.rejects(readTimeline(directory), { code: 'bad-csv' });
});
