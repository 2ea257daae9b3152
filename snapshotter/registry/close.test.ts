import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { until } from '../../testkit/until.ts';
import { RegistryClient, type RegistryClientOptions } from './client.ts';
import { digestOf } from './digest.ts';
import { parseReference } from './reference.ts';
import { type Clock, systemClock } from './retry.ts';
import { collect } from './testing/fixture.ts';

/** Far below the client's own limits, so whatever ends within it was ended by `close`. */
const limit = { timeout: 5_000 };
const signal = new AbortController().signal;
const closed = { name: 'RegistryError', code: 'unreachable' } as const;

async function listen<Listening extends Server | NetServer>(
  t: TestContext,
  server: Listening,
): Promise<{ readonly host: string; readonly server: Listening; readonly sockets: ReadonlySet<Socket> }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, server, sockets };
}

/** An HTTP server whose responses end where `answer` leaves them, and the requests it received. */
async function startServer(t: TestContext, answer: (response: ServerResponse, request: IncomingMessage) => void) {
  const requests: string[] = [];
  const listening = await listen(
    t,
    createHttpServer((request, response) => {
      requests.push(request.url!);
      request.on('error', () => {});
      response.on('error', () => {});
      answer(response, request);
    }),
  );
  return { ...listening, requests };
}

function openClient(t: TestContext, options: RegistryClientOptions = {}): RegistryClient {
  const client = new RegistryClient({ retry: { minWaitMs: 1, maxWaitMs: 1 }, ...options });
  t.after(() => client.close());
  return client;
}

/** Without `once`, which rejects on a reset connection. */
async function ended(sockets: Iterable<Socket>): Promise<void> {
  for (const socket of [...sockets]) await new Promise((resolve) => socket.once('close', resolve));
}

const manifestAt = (host: string) => parseReference(`${host}/a/b`);

test('close ends a request that waits for its response, without a retry', limit, async (t) => {
  const { host, requests, server, sockets } = await startServer(t, () => {});
  const client = openClient(t);
  const refused = assert.rejects(client.fetchManifest(manifestAt(host), signal), closed);
  await once(server, 'request');
  await client.close();
  await refused;
  await ended(sockets);
  assert.equal(requests.length, 1);
});

test('close ends requests that wait for a connection', limit, async (t) => {
  const { host, requests, server } = await startServer(t, () => {});
  const client = openClient(t, { maxConnectionsPerHost: 1 });
  const refused = [1, 2, 3].map(() => assert.rejects(client.fetchManifest(manifestAt(host), signal), closed));
  await once(server, 'request');
  await client.close();
  await Promise.all(refused);
  assert.equal(requests.length, 1);
});

for (const state of ['being read', 'left unread'] as const) {
  test(`close ends a body that is ${state}, without resuming it`, limit, async (t) => {
    const { host, requests, sockets } = await startServer(t, (response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-99999999/100000000', 'content-length': 100_000_000 });
      // More than the client and the sockets buffer, so that an unread body is paused.
      response.write(Buffer.alloc(state === 'being read' ? 1_000 : 20_000_000));
    });
    const client = openClient(t);
    const body = client.blob(manifestAt(host), digestOf('any')).fetchRange(0, 100_000_000, signal);
    const iterator = body[Symbol.asyncIterator]();
    await iterator.next();
    const rest = { [Symbol.asyncIterator]: () => iterator };
    const reading = state === 'being read' ? assert.rejects(collect(rest), closed) : undefined;
    await client.close();
    await (reading ?? assert.rejects(collect(rest), closed));
    await ended(sockets);
    assert.equal(requests.length, 1);
  });
}

test('close ends the wait before a retry', limit, async (t) => {
  const { host, requests } = await startServer(t, (response) => {
    response.writeHead(429, { 'retry-after': '3600' }).end();
  });
  const sleeping = Promise.withResolvers<number>();
  const clock: Clock = {
    now: Date.now,
    sleep(durationMs, ended) {
      sleeping.resolve(durationMs);
      return systemClock.sleep(durationMs, ended);
    },
  };
  const client = openClient(t, { clock, retry: { maxWaitMs: 4_000_000 } });
  const refused = assert.rejects(client.fetchManifest(manifestAt(host), signal), closed);
  assert.equal(await sleeping.promise, 3_600_000);
  await client.close();
  await refused;
  assert.equal(requests.length, 1);
});

test('close ends the wait for a token', limit, async (t) => {
  const { host, requests } = await startServer(t, (response, request) => {
    if (request.url!.startsWith('/token')) return;
    const challenge = `Bearer realm="http://${request.headers.host}/token"`;
    response.writeHead(401, { 'www-authenticate': challenge }).end();
  });
  const client = openClient(t);
  const refused = assert.rejects(client.fetchManifest(manifestAt(host), signal));
  await until('the request for a token', () => requests.length >= 2, { limitMs: 10_000 });
  await client.close();
  await refused;
  assert.equal(requests.length, 2);
});

for (const way of ['a TLS handshake', "a proxy's tunnel"] as const) {
  test(`close ends a request that waits for ${way}`, limit, async (t) => {
    const { host, server, sockets } = await listen(
      t,
      createServer((socket) => void socket.resume()),
    );
    const isTunnel = way === "a proxy's tunnel";
    const client = openClient(
      t,
      isTunnel ? { env: { HTTPS_PROXY: host } } : { hosts: { [host]: { plainHttp: false } } },
    );
    const refused = assert.rejects(client.fetchManifest(manifestAt(isTunnel ? 'registry.test' : host), signal), closed);
    const [socket] = (await once(server, 'connection')) as [Socket];
    await once(socket, 'data');
    await client.close();
    await refused;
    await ended(sockets);
  });
}
