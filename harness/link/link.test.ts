import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer as createHttpServer, request as httpRequest } from 'node:http';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { type Link, startLink } from './link.ts';

const limit = { timeout: 60_000 };

test('200 MB over eight connections in both directions arrive unchanged', limit, async (t) => {
  const megabytes = 25;
  const sent = Array.from({ length: 8 }, (_, index) => pseudoRandomBytes(1 << 20, index));
  const target = await listen(t, (socket) => void socket.pipe(socket));
  const link = await open(t, { target, rttMs: 5, bandwidthMbps: 4000 });
  await Promise.all(
    sent.map(async (piece) => {
      const socket = reach(t, link);
      const source = Readable.from(repeat(piece, megabytes));
      source.pipe(socket);
      assert.equal(await hashOf(socket), await hashOf(repeat(piece, megabytes)));
    }),
  );
  const counters = await link.counters();
  assert.equal(counters.bytes, 8 * megabytes * (1 << 20));
  assert.equal(counters.bytesUp, counters.bytes);
  assert.equal(counters.connections, 8);
});

test('over a link with slow start and losses everything arrives unchanged as well', limit, async (t) => {
  const sent = Array.from({ length: 8 }, (_, index) => pseudoRandomBytes(1 << 20, index));
  const target = await listen(t, (socket) => void socket.pipe(socket));
  const link = await open(t, { target, rttMs: 5, bandwidthMbps: 1000, tcp: { lossShare: 0.01 } });
  await Promise.all(
    sent.map(async (piece) => {
      const socket = reach(t, link);
      Readable.from(repeat(piece, 2)).pipe(socket);
      assert.equal(await hashOf(socket), await hashOf(repeat(piece, 2)));
    }),
  );
  assert.equal((await link.counters()).bytes, 8 * 2 * (1 << 20));
});

test('requests are counted by their heads, not their bodies, and a reset starts at zero', limit, async (t) => {
  const server = createHttpServer((incoming, response) => {
    incoming.resume();
    incoming.on('end', () => response.end('0123456789'));
  });
  const target = await listenOn(t, server);
  const link = await open(t, { target, rttMs: 0, bandwidthMbps: undefined });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const decoy = 'GET / HTTP/1.1\r\n\r\n'.repeat(5);
  for (let round = 0; round < 3; round++) await ask(link, agent, 'GET');
  await ask(link, agent, 'HEAD');
  await ask(link, agent, 'PUT', decoy);
  await ask(link, agent, 'POST', decoy, { 'transfer-encoding': 'chunked' });
  await ask(link, agent, 'GET');
  const counters = await link.counters();
  assert.equal(counters.requests, 7);
  await link.reset();
  await ask(link, agent, 'GET');
  assert.equal((await link.counters()).requests, 1);
});

test('a trace has each request with its own bytes, which add up to those that were counted', limit, async (t) => {
  const server = createHttpServer((incoming, response) =>
    response.end('x'.repeat(Number(incoming.url!.slice(2).split('?')[0]))),
  );
  const target = await listenOn(t, server);
  const link = await open(t, { target, rttMs: 10, bandwidthMbps: 100 });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const get = (path: string, headers = {}) =>
    new Promise((resolve, reject) => {
      const [host, port] = link.address.split(':');
      const request = httpRequest({ host, port, path, agent, headers }, (response) =>
        response.resume().on('end', resolve),
      );
      request.on('error', reject).end();
    });
  await get('/b5');
  await assert.rejects(link.readTrace(), /not told to trace/);
  await link.reset({ isTraced: true });
  const beforeMs = Number(process.hrtime.bigint()) / 1e6;
  await get('/b1000?token=secret', { range: 'bytes=5-1004', authorization: 'Bearer secret' });
  await get('/b200000');
  await Promise.all([get('/b10'), get('/b20')]);
  const { counters, trace } = await link.readTrace();
  const afterMs = Number(process.hrtime.bigint()) / 1e6;
  assert.deepEqual(
    trace.requests.map(({ method, path, range }) => [method, path, range]),
    [
      ['GET', '/b1000', '5-1004'],
      ['GET', '/b200000', undefined],
      ['GET', '/b10', undefined],
      ['GET', '/b20', undefined],
    ],
  );
  assert.doesNotMatch(JSON.stringify(trace), /secret/);
  const sum = (all: readonly { readonly bytes: number }[]) => all.reduce((total, { bytes }) => total + bytes, 0);
  assert.equal(sum(trace.requests), counters.bytes);
  assert.equal(sum(trace.arrivals), counters.bytes);
  const heads = trace.requests.map(({ bytes }, index) => bytes - [1000, 200_000, 10, 20][index]!);
  assert.ok(
    heads.every((bytes) => bytes > 50 && bytes < 300),
    heads.join(', '),
  );
  let earliestMs = beforeMs;
  // Each way the line delivers half a millisecond early at most.
  for (const { sentMs, firstByteMs, lastByteMs } of trace.requests) {
    assert.ok(earliestMs <= sentMs && sentMs + 9.5 <= firstByteMs! && firstByteMs! <= lastByteMs!);
    earliestMs = sentMs;
    assert.ok(lastByteMs! <= afterMs + 0.5);
  }
  await get('/b7');
  await assert.rejects(link.readTrace(), /not told to trace/, 'reading ends it');
});

test('of a stream that is not HTTP the trace has the bytes', limit, async (t) => {
  const target = await listen(t, (socket) => void socket.pipe(socket));
  const link = await open(t, { target, rttMs: 0, bandwidthMbps: undefined });
  await link.reset({ isTraced: true });
  const socket = reach(t, link);
  socket.end(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));
  await hashOf(socket);
  const { trace } = await link.readTrace();
  assert.deepEqual(trace.requests, []);
  assert.deepEqual(
    trace.arrivals.map(({ bytes }) => bytes),
    [5],
  );
});

test('a stream that is not HTTP has no request count rather than a wrong one', limit, async (t) => {
  const target = await listen(t, (socket) => void socket.pipe(socket));
  const link = await open(t, { target, rttMs: 0, bandwidthMbps: undefined });
  const socket = reach(t, link);
  socket.end(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));
  await hashOf(socket);
  assert.equal((await link.counters()).requests, undefined);
});

test(
  'without a target it is a proxy that carries what its clients ask it to reach, and nothing else',
  limit,
  async (t) => {
    const target = await listen(t, (socket) => void socket.pipe(socket));
    const link = await open(t, { target: undefined, rttMs: 5, bandwidthMbps: 1000 });
    const sent = pseudoRandomBytes(1 << 20, 1);
    const tunnel = reach(t, link);
    tunnel.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n`);
    const [answer] = (await once(tunnel, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'HTTP/1.1 200 Connection established\r\n\r\n');
    tunnel.end(sent);
    assert.equal(await hashOf(tunnel), await hashOf([sent]));
    const { bytes, bytesUp, requests } = await link.counters();
    assert.deepEqual([bytes, bytesUp, requests], [sent.length, sent.length, undefined]);

    const said = async (text: string) => {
      const socket = reach(t, link);
      socket.end(text);
      let whole = '';
      for await (const piece of socket) whole += piece;
      return whole.split('\r\n')[0];
    };
    assert.equal(await said('GET http://registry.test/ HTTP/1.1\r\n\r\n'), 'HTTP/1.1 405 Method Not Allowed');
    const closed = createServer();
    const nobody = await listenOn(t, closed);
    await new Promise((resolve) => closed.close(resolve));
    assert.equal(await said(`CONNECT ${nobody} HTTP/1.1\r\n\r\n`), 'HTTP/1.1 502 Bad Gateway');
  },
);

test('a half-closed connection still carries the answer', limit, async (t) => {
  const target = await listen(t, async (socket) => {
    const asked: Buffer[] = [];
    for await (const bytes of socket) asked.push(bytes as Buffer);
    socket.end(`got ${Buffer.concat(asked)}`);
  });
  const link = await open(t, { target, rttMs: 10, bandwidthMbps: 100 });
  const socket = reach(t, link);
  socket.end('all of it');
  let answer = '';
  for await (const bytes of socket) answer += bytes;
  assert.equal(answer, 'got all of it');
});

test('a reset by the server reaches the client as a reset', limit, async (t) => {
  const target = await listen(t, (socket) => {
    socket.once('data', () => socket.resetAndDestroy());
  });
  const link = await open(t, { target, rttMs: 4, bandwidthMbps: 10 });
  const socket = reach(t, link);
  socket.write('hello');
  const [error] = await once(socket, 'error');
  assert.equal(error.code, 'ECONNRESET');
});

test('a client that disconnects during a body ends the server side too', limit, async (t) => {
  const gone = Promise.withResolvers<void>();
  const target = await listen(t, (socket) => {
    socket.on('error', () => {});
    socket.once('close', () => gone.resolve());
    const feed = () => {
      while (!socket.destroyed && socket.write(Buffer.alloc(1 << 16))) {}
    };
    socket.on('drain', feed);
    feed();
  });
  const link = await open(t, { target, rttMs: 4, bandwidthMbps: 50 });
  const socket = reach(t, link);
  socket.write('go');
  await once(socket, 'data');
  socket.destroy();
  await gone.promise;
});

test('a slow reader applies back-pressure to the server instead of filling the relay', limit, async (t) => {
  let written = 0;
  const target = await listen(t, (socket) => {
    socket.on('error', () => {});
    const feed = () => {
      while (!socket.destroyed && written < 1 << 30 && socket.write(Buffer.alloc(1 << 16))) written += 1 << 16;
    };
    socket.on('drain', feed);
    feed();
  });
  const link = await open(t, { target, rttMs: 2, bandwidthMbps: undefined });
  const socket = reach(t, link);
  socket.write('go');
  await once(socket, 'data');
  socket.pause();
  let before = -1;
  while (before !== written) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.ok(written < 200e6, `the server could write ${written} bytes that nobody read`);
});

test('if the target refuses connections, the client is reset and does not hang', limit, async (t) => {
  const link = await open(t, { target: '127.0.0.1:1', rttMs: 0, bandwidthMbps: undefined });
  const socket = reach(t, link);
  socket.write('hello');
  const [error] = await once(socket, 'error');
  assert.equal(error.code, 'ECONNRESET');
});

test('close ends the process, and calls after it fail', limit, async (t) => {
  const target = await listen(t, (socket) => void socket.pipe(socket));
  const link = await open(t, { target, rttMs: 0, bandwidthMbps: undefined });
  await link.close();
  await link.close();
  await assert.rejects(link.counters(), { code: 'stopped' });
  const socket = reach(t, link);
  const [error] = await once(socket, 'error');
  assert.equal(error.code, 'ECONNREFUSED');
});

async function open(t: TestContext, options: Parameters<typeof startLink>[0]): Promise<Link> {
  const link = await startLink(options);
  t.after(() => link.close());
  return link;
}

function listen(t: TestContext, serve: (socket: Socket) => void): Promise<string> {
  return listenOn(t, createServer({ allowHalfOpen: true }, serve));
}

async function listenOn(t: TestContext, server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function reach(t: TestContext, link: Link): Socket {
  const socket = dial({ host: '127.0.0.1', port: Number(link.address.split(':')[1]) });
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  return socket;
}

function ask(link: Link, agent: Agent, method: string, body = '', headers = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const [host, port] = link.address.split(':');
    const lengthHeader = body !== '' && !('transfer-encoding' in headers) ? { 'content-length': body.length } : {};
    const outgoing = httpRequest(
      { host, port, method, agent, headers: { ...headers, ...lengthHeader } },
      (response) => {
        response.resume();
        response.on('end', resolve);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function* repeat(piece: Buffer, times: number): Iterable<Buffer> {
  for (let count = 0; count < times; count++) yield piece;
}

async function hashOf(stream: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of stream) hash.update(bytes);
  return hash.digest('hex');
}
