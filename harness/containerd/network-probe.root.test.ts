import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import { test, type TestContext } from 'node:test';
import type { AddressInfo } from 'node:net';
import { probeUntilReady } from './network-probe.ts';

const timeout = 30_000;

/** A process in a network namespace of its own with loopback, which runs `script` in this Node. */
async function startIn(t: TestContext, script: string): Promise<ChildProcess & { pid: number }> {
  const shell = 'ip link set lo up && echo up && exec "$0" -e "$1"';
  const child = spawn('unshare', ['--net', 'sh', '-c', shell, process.execPath, script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout!, 'data');
  return child as ChildProcess & { pid: number };
}

/** Listens after a while and refuses at first; then it answers as `answer` says. */
function serverScript(answer: string): string {
  return `let count = 0;
    setTimeout(() => require('node:http').createServer((request, response) => { count++; ${answer} }).listen(80), 300);`;
}

test('a server in another network namespace is ready at its first 2xx', { timeout }, async (t) => {
  const own = readlinkSync('/proc/thread-self/ns/net');
  const answer = "response.writeHead(count < 3 ? 503 : 200); response.end(request.url + ' ' + count);";
  const { pid } = await startIn(t, serverScript(answer));
  await probeUntilReady(pid, { kind: 'http', port: 80, path: '/health', body: '/health 3' }, t.signal);
  await probeUntilReady(pid, { kind: 'port', port: 80 }, t.signal);
  assert.equal(readlinkSync('/proc/thread-self/ns/net'), own);
});

test("a port of the host is not the container's", { timeout }, async (t) => {
  const server = createServer((_, response) => response.end('of the host')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { pid } = await startIn(t, `require('node:http').createServer((_, r) => r.end('own')).listen(${port})`);
  await probeUntilReady(pid, { kind: 'http', port, path: '/', body: 'own' }, t.signal);
});

test('another answer than the expected one is an error that shows it', { timeout }, async (t) => {
  const { pid } = await startIn(t, serverScript("response.end('bye')"));
  const ready = { kind: 'http', port: 80, path: '/', body: 'hello' } as const;
  await assert.rejects(probeUntilReady(pid, ready, t.signal), {
    code: 'not-ready',
    message: /"bye" instead of "hello"/,
  });
});

test('an answer without end is read up to a limit', { timeout }, async (t) => {
  const { pid } = await startIn(
    t,
    serverScript(
      "const flood = () => { while (response.write('y'.repeat(1e5))); response.once('drain', flood); }; flood();",
    ),
  );
  const ready = { kind: 'http', port: 80, path: '/', body: 'hello' } as const;
  await assert.rejects(probeUntilReady(pid, ready, t.signal), { code: 'not-ready', message: /"y+" instead of/ });
});

test('an abort ends the wait with its reason, and no descriptor stays open', { timeout }, async (t) => {
  const { pid } = await startIn(t, serverScript(''));
  const controller = new AbortController();
  const reason = new Error('enough');
  const before = readdirSync('/proc/self/fd').length;
  const polling = probeUntilReady(pid, { kind: 'http', port: 80, path: '/' }, controller.signal);
  setTimeout(() => controller.abort(reason), 600);
  await assert.rejects(polling, (error: Error) => error === reason || error.cause === reason);
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(readdirSync('/proc/self/fd').length <= before);
});
