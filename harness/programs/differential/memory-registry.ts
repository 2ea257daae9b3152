/**
 * A registry that keeps everything in memory and does what the distribution specification asks of one, no more: thousands
 * of small images are pushed and pulled, and the disk is not what is under test.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Digest, digestOf, isDigest } from '../../../snapshotter/registry/digest.ts';

export interface MemoryRegistry {
  /** `127.0.0.1:port`, plain HTTP. */
  readonly address: string;
  /** Blobs belong to every repository. */
  addBlob(bytes: Buffer): Digest;
  addManifest(repository: string, tag: string, mediaType: string, bytes: Buffer): void;
  blob(digest: Digest): Buffer | undefined;
  /** By tag or digest. */
  manifest(repository: string, name: string): { readonly mediaType: string; readonly bytes: Buffer } | undefined;
  /** Forgets all that was pushed. */
  clear(): void;
  close(): Promise<void>;
}

export async function startMemoryRegistry(): Promise<MemoryRegistry> {
  const blobs = new Map<Digest, Buffer>();
  const manifests = new Map<string, { mediaType: string; bytes: Buffer }>();
  const addBlob = (bytes: Buffer): Digest => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return digest;
  };
  const addManifest = (repository: string, tag: string, mediaType: string, bytes: Buffer): void => {
    for (const name of [tag, digestOf(bytes)]) manifests.set(`${repository}/${name}`, { mediaType, bytes });
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://registry');
    const match = /^\/v2\/(.+)\/(manifests|blobs|blobs\/uploads)\/([^/]*)$/.exec(pathname);
    if (match === null) return void response.writeHead(pathname === '/v2/' ? 200 : 404).end();
    const [, repository = '', kind, name = ''] = match;
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && kind === 'blobs') return sendBytes(request, response, isDigest(name) ? blobs.get(name) : undefined);
    if (isRead && kind === 'manifests') {
      const found = manifests.get(`${repository}/${name}`);
      if (found !== undefined) {
        response.setHeader('content-type', found.mediaType);
        response.setHeader('docker-content-digest', digestOf(found.bytes));
      }
      return sendBytes(request, response, found?.bytes);
    }
    const body = await readBody(request);
    if (request.method === 'PUT' && kind === 'manifests') {
      addManifest(repository, name, request.headers['content-type'] ?? '', body);
      return void response.writeHead(201, { 'docker-content-digest': digestOf(body) }).end();
    }
    if (request.method === 'POST' && kind === 'blobs/uploads') {
      const from = searchParams.get('mount');
      const mounted = from !== null && isDigest(from) && blobs.has(from);
      const location = mounted ? `/v2/${repository}/blobs/${from}` : `/v2/${repository}/blobs/uploads/1`;
      return void response.writeHead(mounted ? 201 : 202, { location }).end();
    }
    if (request.method === 'PUT' && kind === 'blobs/uploads') {
      const digest = addBlob(body);
      const isRight = digest === searchParams.get('digest');
      return void response
        .writeHead(isRight ? 201 : 400, { location: pathname, 'docker-content-digest': digest })
        .end();
    }
    response.writeHead(405).end();
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    addBlob,
    addManifest,
    blob: (digest) => blobs.get(digest),
    manifest: (repository, name) => manifests.get(`${repository}/${name}`),
    clear: () => {
      blobs.clear();
      manifests.clear();
    },
    close: async () => {
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    },
  };
}

function sendBytes(request: IncomingMessage, response: ServerResponse, bytes: Buffer | undefined): void {
  if (bytes === undefined) return void response.writeHead(404).end();
  const [start, end] = rangeOf(request.headers.range, bytes.length) ?? [0, bytes.length];
  if (start >= end && request.headers.range !== undefined) {
    return void response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
  }
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('content-length', end - start);
  if (request.headers.range === undefined) response.writeHead(200);
  else response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` });
  response.end(request.method === 'HEAD' ? undefined : bytes.subarray(start, end));
}

/** [start, end) of a single range. */
function rangeOf(header: string | undefined, sizeBytes: number): [start: number, end: number] | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '') return [Math.max(0, sizeBytes - Number(last)), sizeBytes];
  return [Number(first), last === '' ? sizeBytes : Math.min(sizeBytes, Number(last) + 1)];
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
