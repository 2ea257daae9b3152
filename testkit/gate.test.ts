import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { type Gate, openGate } from './gate.ts';
import { undoAfter } from './lifetime.ts';

const limit = { timeout: 10_000 };

async function openEcho(t: TestContext): Promise<Gate> {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undoAfter(t, () => server.close());
  return await openGate(t, `127.0.0.1:${(server.address() as AddressInfo).port}`);
}

function dial(gate: Gate) {
  const [host, port] = gate.address.split(':') as [string, string];
  return connect(Number(port), host);
}

async function echo(gate: Gate): Promise<string> {
  const socket = dial(gate);
  socket.end('hello');
  return await text(socket);
}

test('an open gate forwards in both directions', limit, async (t) => {
  assert.equal(await echo(await openEcho(t)), 'hello');
});

test('a gate that refuses resets connections, and opens again at its address', limit, async (t) => {
  const gate = await openEcho(t);
  const there = dial(gate);
  await once(there, 'connect');
  there.write('x');
  await once(there, 'data');
  const closed = once(there, 'close');
  await gate.refuse();
  await closed;
  await assert.rejects(echo(gate), { code: 'ECONNREFUSED' });
  await gate.open();
  assert.equal(await echo(gate), 'hello');
});

test('a stalled gate keeps connections without passing data until it opens', limit, async (t) => {
  const gate = await openEcho(t);
  const [old, late] = [dial(gate), dial(gate)];
  old.write('x');
  await once(old, 'data');
  gate.stall();
  const received: string[] = [];
  for (const socket of [old, late]) {
    socket.setEncoding('utf8').on('data', (data) => received.push(String(data)));
    socket.on('error', () => {});
    socket.write('hello');
  }
  // A round trip elsewhere, so that stray data would have had time to arrive.
  const other = await openEcho(t);
  assert.equal(await echo(other), 'hello');
  assert.deepEqual(received, []);
  const closed = [once(old, 'close'), once(late, 'close')];
  await gate.open();
  await Promise.all(closed);
  assert.deepEqual(received, []);
  assert.equal(await echo(gate), 'hello');
});
