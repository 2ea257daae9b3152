import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inheritedDescriptors, notifySystemd } from './systemd.ts';
import { openNotifySocket } from '../../testkit/notify-socket.ts';

const limit = { timeout: 20_000 };

test('READY and STOPPING reach the socket of systemd, by path and by abstract name', limit, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'notify-'));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const path of [join(directory, 'notify'), `@stargz-test-${process.pid}`]) {
    const received = await openNotifySocket(t, path, 2);
    assert.equal(notifySystemd('READY=1', path), true);
    assert.equal(notifySystemd('STOPPING=1', path), true);
    assert.deepEqual(await received(), ['READY=1', 'STOPPING=1']);
  }
});

test('without a socket, or with one that has no listener, nothing is sent', limit, () => {
  assert.equal(notifySystemd('READY=1', ''), false);
  assert.equal(notifySystemd('READY=1', '/nonexistent/notify'), false);
});

test('inherited descriptors are taken only by the process that LISTEN_PID names', limit, () => {
  const env = { LISTEN_PID: String(process.pid), LISTEN_FDS: '2', LISTEN_FDNAMES: 'a' };
  assert.deepEqual(inheritedDescriptors(env), [
    { name: 'a', fd: 3 },
    { name: '', fd: 4 },
  ]);
  assert.deepEqual(inheritedDescriptors({ ...env, LISTEN_PID: String(process.ppid) }), []);
  assert.deepEqual(inheritedDescriptors({}), []);
});
