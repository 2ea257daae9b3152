import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Client, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { openClient, RpcError } from '../api/client.ts';
import { loadService } from '../api/load.ts';
import { noLog } from '../platform/log.ts';
import { criKeychain } from '../registry/cri-keychain.ts';
import { parseReference } from '../registry/reference.ts';
import { CriProxy } from './cri.ts';
import { createServer, listenOnSocket, stopServer } from './server.ts';

const limit = { timeout: 20_000 };
const asItIs = (bytes: Buffer) => bytes;

/** A stand-in for containerd that records the bytes it receives, behind the proxy. */
async function serve(t: TestContext, isUp = true) {
  const directory = mkdtempSync(join(tmpdir(), 'cri-'));
  const received: { path: string; bytes: Buffer }[] = [];
  const backend = new Server();
  for (const name of ['runtime.v1', 'runtime.v1alpha2']) {
    const service = loadService('runtime.v1.ImageService');
    const entries = Object.entries(service).map(([method, definition]) => {
      const path = `/${name}.ImageService/${method}`;
      return [method, { ...definition, path, requestDeserialize: asItIs, responseSerialize: asItIs }];
    });
    const handle = (path: string) => (call: { request: Buffer }, done: (error: unknown, bytes?: Buffer) => void) => {
      received.push({ path, bytes: call.request });
      if (path.endsWith('RemoveImage')) done({ code: status.NOT_FOUND, details: 'no such image' });
      else done(null, Buffer.from('0a03726566', 'hex'));
    };
    const handlers = Object.keys(service).map((method) => [method, handle(`/${name}.ImageService/${method}`)]);
    backend.addService(Object.fromEntries(entries), Object.fromEntries(handlers));
  }
  const backendPath = join(directory, 'containerd.sock');
  if (isUp) {
    await new Promise<void>((resolve, reject) =>
      backend.bindAsync(`unix:${backendPath}`, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      ),
    );
  }
  const keychain = criKeychain();
  const proxy = new CriProxy(backendPath, keychain, noLog);
  const server = createServer();
  proxy.register(server);
  const address = join(directory, 'proxy.sock');
  await listenOnSocket(server, address);
  const client = openClient('runtime.v1.ImageService', address);
  const raw = new Client(`unix:${address}`, credentials.createInsecure());
  t.after(async () => {
    client.close();
    raw.close();
    proxy.close();
    backend.forceShutdown();
    await stopServer(server, 500);
    rmSync(directory, { recursive: true });
  });
  const lookup = async (image: string, host: string) =>
    keychain.lookup(parseReference(image), host, AbortSignal.timeout(1000));
  return { client, raw, received, lookup };
}

test('calls of both versions reach containerd byte for byte, including unknown fields', limit, async (t) => {
  const { raw, received } = await serve(t);
  // Field 1: an image; field 99: unknown to this version.
  const bytes = Buffer.from('0a050a03666f6f' + '9a0603616263', 'hex');
  for (const path of [
    '/runtime.v1.ImageService/PullImage',
    '/runtime.v1.ImageService/ImageStatus',
    '/runtime.v1alpha2.ImageService/ListImages',
    '/runtime.v1.ImageService/ImageFsInfo',
  ]) {
    const answer = await new Promise((resolve, reject) =>
      raw.makeUnaryRequest(path, asItIs, asItIs, bytes, (error, response) =>
        error ? reject(error) : resolve(response),
      ),
    );
    assert.deepEqual(answer, Buffer.from('0a03726566', 'hex'));
    assert.deepEqual(received.at(-1), { path, bytes });
  }
});

test('credentials of a pull are kept for its image and registry only, until the image is removed', limit, async (t) => {
  const { client, lookup } = await serve(t);
  const image = 'private.test:5000/team/app:1';
  const { imageRef } = await client.pullImage({ image: { image }, auth: { username: 'me', password: 'secret' } });
  assert.equal(imageRef, 'ref');
  assert.deepEqual(await lookup(image, 'private.test:5000'), [{ kind: 'basic', username: 'me', password: 'secret' }]);
  assert.deepEqual(await lookup(image, 'mirror.test'), []);
  assert.deepEqual(await lookup('private.test:5000/team/other:1', 'private.test:5000'), []);
  await assert.rejects(
    client.removeImage({ image: { image } }),
    (error) => error instanceof RpcError && error.code === 'NOT_FOUND' && error.details === 'no such image',
  );
  assert.deepEqual(await lookup(image, 'private.test:5000'), []);
});

test('a call whose image is not a valid reference is still forwarded', limit, async (t) => {
  const { client, received } = await serve(t);
  await client.pullImage({ image: { image: 'NOT A REFERENCE' }, auth: { username: 'x', password: 'y' } });
  await client.pullImage({});
  assert.equal(received.length, 2);
});

test('the proxy returns UNAVAILABLE at once while containerd is down', limit, async (t) => {
  const { client } = await serve(t, false);
  await assert.rejects(client.listImages({}), (error) => error instanceof RpcError && error.code === 'UNAVAILABLE');
});
