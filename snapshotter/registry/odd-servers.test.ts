import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createRawServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { BlobSource } from './blob.ts';
import { RegistryClient } from './client.ts';
import { digestOf } from './digest.ts';
import { parseReference } from './reference.ts';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { collect, limit, recordingClock } from './testing/fixture.ts';

const signal = new AbortController().signal;
const content = pseudoRandomBytes(1_000_000, 1);
const digest = digestOf(content);

/** Responds to a request for the range [start, end). */
type Answer = (response: ServerResponse, start: number, end: number) => void;

const honest: Answer = (response, start, end) => {
  response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${content.length}` });
  response.end(content.subarray(start, end));
};

async function startServer(t: TestContext, answer: Answer): Promise<string> {
  const server = createServer(({ headers }, response) => {
    const [, first, last] = /^bytes=(\d*)-(\d+)$/.exec(headers.range ?? '')!;
    if (first === '') answer(response, content.length - Number(last), content.length);
    else answer(response, Number(first), Number(last) + 1);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return hostOf(server.address());
}

/** An HTTP/1.0 server, which ends each body with the connection; `bodyOf` gets the request's number, from 1. */
async function startOldServer(
  t: TestContext,
  head: (start: number, end: number) => string,
  bodyOf: (request: number, start: number, end: number) => Buffer,
): Promise<string> {
  let requests = 0;
  const server = createRawServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes) => {
      const [, first, last] = /range: bytes=(\d*)-(\d+)/i.exec(bytes.toString('latin1'))!;
      const start = first === '' ? content.length - Number(last) : Number(first);
      const end = first === '' ? content.length : Number(last) + 1;
      socket.write(`HTTP/1.0 ${head(start, end)}\r\n\r\n`);
      socket.end(bodyOf(++requests, start, end));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => void server.close());
  return hostOf(server.address());
}

function hostOf(address: unknown): string {
  return `127.0.0.1:${(address as { port: number }).port}`;
}

function openBlob(t: TestContext, host: string, mirrors: readonly string[] = []): BlobSource {
  const hosts = { [host]: { mirrors: mirrors.map((mirror) => ({ host: mirror })) } };
  const client = new RegistryClient({ hosts, clock: recordingClock(), retry: { maxRetries: 3 } });
  t.after(() => client.close());
  return client.blob(parseReference(`${host}/team/image`), digest);
}

async function readsWhatThereIs(source: BlobSource): Promise<void> {
  for (const [start, end] of [
    [100, 200],
    [5, 900_000],
  ] as const) {
    assert.ok((await collect(source.fetchRange(start, end, signal))).equals(content.subarray(start, end)));
  }
  const suffix = await source.fetchSuffix(1000, signal);
  assert.ok(suffix.bytes.equals(content.subarray(-1000)));
  assert.equal(suffix.blobSizeBytes, content.length);
}

const liars: Readonly<Record<string, Answer>> = {
  'says that there are no such bytes': (response) =>
    void response.writeHead(416, { 'content-range': 'bytes */50' }).end(),
  'has only the beginning': (response, start, end) => {
    response.writeHead(206, { 'content-range': `bytes ${start}-${end - 2}/${end - 1}` });
    response.end(content.subarray(start, end - 1));
  },
  'sends another range': (response, start, end) => {
    response.writeHead(206, { 'content-range': `bytes ${start - 1}-${end - 2}/${content.length}` });
    response.end(content.subarray(start - 1, end - 1));
  },
  'does not say what it sends': (response, start, end) =>
    void response.writeHead(206).end(content.subarray(start, end)),
  'sends more than it says': (response, start, end) => {
    response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${content.length}` });
    response.end(Buffer.concat([content.subarray(start, end), content]));
  },
  'breaks off': (response, start, end) => {
    response.writeHead(206, {
      'content-range': `bytes ${start}-${end - 1}/${content.length}`,
      'content-length': end - start,
    });
    response.write(content.subarray(start, start + 5), () => response.destroy());
  },
};

for (const [what, answer] of Object.entries(liars)) {
  test(`the registry itself is asked behind two mirrors, each of which ${what}`, limit, async (t) => {
    const mirrors = [await startServer(t, answer), await startServer(t, answer)];
    const host = await startServer(t, honest);
    await readsWhatThereIs(openBlob(t, host, mirrors));
  });

  test(`a registry that ${what} is given up after the permitted retries`, limit, async (t) => {
    let requests = 0;
    const counted: Answer = (...args) => {
      requests++;
      answer(...args);
    };
    const source = openBlob(t, await startServer(t, counted), [await startServer(t, counted)]);
    await assert.rejects(collect(source.fetchRange(100, 200, signal)), { name: 'RegistryError' });
    assert.ok(requests <= 6, `${requests} requests`);
  });
}

test('bodies that end with the connection are read whole', limit, async (t) => {
  const range = (start: number, end: number) =>
    `206 Partial Content\r\nContent-Range: bytes ${start}-${end - 1}/${content.length}`;
  const ranges = await startOldServer(t, range, (_, start, end) => content.subarray(start, end));
  await readsWhatThereIs(openBlob(t, ranges));
  const wholes = await startOldServer(
    t,
    () => '200 OK',
    () => content,
  );
  await readsWhatThereIs(openBlob(t, wholes));
});

test('such a body is resumed if it ends too early', limit, async (t) => {
  const range = (start: number, end: number) =>
    `206 Partial Content\r\nContent-Range: bytes ${start}-${end - 1}/${content.length}`;
  const cut = await startOldServer(t, range, (request, start, end) =>
    content.subarray(start, request < 4 ? Math.min(end, start + 50) : end),
  );
  assert.ok((await collect(openBlob(t, cut).fetchRange(5, 900_000, signal))).equals(content.subarray(5, 900_000)));
});

test('a whole body without a length that is cut short is continued by ranges', limit, async (t) => {
  const cutBytes = 300_000;
  for (const framing of ['chunked', 'connection'] as const) {
    const ranges: (string | undefined)[] = [];
    const server = createServer(({ headers }, response) => {
      ranges.push(headers.range);
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
      if (first !== undefined) return honest(response, Number(first), Number(last) + 1);
      response.useChunkedEncodingByDefault = framing === 'chunked';
      response.writeHead(200, framing === 'connection' ? { connection: 'close' } : {});
      response.write(content.subarray(0, cutBytes), () => {
        if (framing === 'chunked') response.destroy();
        else response.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => void server.close());
    const host = hostOf(server.address());
    const client = new RegistryClient({ clock: recordingClock(), retry: { maxRetries: 3 } });
    t.after(() => client.close());
    const reference = parseReference(`${host}/team/image`);
    assert.deepEqual(await client.readBlob(reference, digest, content.length, signal), content, framing);
    assert.deepEqual(ranges, [undefined, 'bytes=0-0', `bytes=${cutBytes}-${content.length - 1}`], framing);
  }
});

test('a manifest whose body ends with the connection is requested again if it was cut short', limit, async (t) => {
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: [] }));
  let requests = 0;
  const server = createRawServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write('HTTP/1.0 200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json\r\n\r\n');
      socket.end(++requests === 1 ? manifest.subarray(0, 10) : manifest);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => void server.close());
  const client = new RegistryClient({ clock: recordingClock(), retry: { maxRetries: 3 } });
  t.after(() => client.close());
  const { bytes } = await client.fetchManifest(parseReference(`${hostOf(server.address())}/team/image:1`), signal);
  assert.deepEqual(bytes, manifest);
  assert.equal(requests, 2);
});
