import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { parseConfig } from './config.ts';
import { noLog } from '../platform/log.ts';
import { openRegistry } from './registries.ts';
import type { RegistryClient } from '../registry/client.ts';
import { digestOf } from '../registry/digest.ts';
import { parseReference } from '../registry/reference.ts';
import { startForwardProxy } from '../registry/testing/forward-proxy.ts';

const limit = { timeout: 20_000 };
const signal = new AbortController().signal;
/** The shortest there is. Where it is not heeded, the default of 30 s runs into the limit above. */
const oneSecond = 'request_timeout_sec = 1';

/** A registry that says nothing to whoever asks for a manifest, and stops in the middle of any blob; its host. */
async function startStallingRegistry(t: TestContext): Promise<string> {
  const server = createServer((request, response) => {
    if (!request.url!.includes('/blobs/')) return;
    response.writeHead(206, { 'content-range': 'bytes 0-99/100', 'content-length': 100 });
    response.write(Buffer.alloc(10));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The daemon's client with this [resolver]. */
async function openClient(t: TestContext, resolver: string): Promise<RegistryClient> {
  const { config } = parseConfig(`[blob]\nmax_retries = -1\n[resolver]\n${resolver}`, 'c.toml');
  const { client } = await openRegistry(config, noLog);
  t.after(() => client.close());
  return client;
}

test(
  'resolver.request_timeout_sec holds for a registry that no table names, at its head and body',
  limit,
  async (t) => {
    const host = await startStallingRegistry(t);
    const client = await openClient(t, oneSecond);
    const reference = parseReference(`${host}/a/b:c`);
    await assert.rejects(client.fetchManifest(reference, signal), { code: 'timeout', host });
    await assert.rejects(client.blob(reference, digestOf('any')).fetchSuffix(100, signal), { code: 'timeout', host });
  },
);

test('a mirror that names no time takes that of [resolver], as its registry does', limit, async (t) => {
  const [registry, mirror] = [await startStallingRegistry(t), await startStallingRegistry(t)];
  const client = await openClient(t, `${oneSecond}\n[[resolver.host."${registry}".mirrors]]\nhost = "${mirror}"`);
  await assert.rejects(client.fetchManifest(parseReference(`${registry}/a/b:c`), signal), {
    code: 'timeout',
    host: registry,
    message: new RegExp(`${mirror} failed too`),
  });
});

test("a mirror's own time stands before that of [resolver]", limit, async (t) => {
  const mirror = await startStallingRegistry(t);
  const client = await openClient(
    t,
    `request_timeout_sec = 3600\n[[resolver.host."127.0.0.1:1".mirrors]]\nhost = "${mirror}"\n${oneSecond}`,
  );
  await assert.rejects(client.fetchManifest(parseReference('127.0.0.1:1/a/b:c'), signal), {
    code: 'unreachable',
    message: new RegExp(`${mirror} failed too`),
  });
});

test('the daemon asks registries by way of the proxy that its environment names', limit, async (t) => {
  const proxy = await startForwardProxy({ upstream: '127.0.0.1:1', refusesWith: 403 });
  t.after(() => proxy.close());
  const before = process.env.HTTPS_PROXY;
  process.env.HTTPS_PROXY = `http://${proxy.host}`;
  t.after(() => {
    if (before === undefined) delete process.env.HTTPS_PROXY;
    else process.env.HTTPS_PROXY = before;
  });
  const client = await openClient(t, '');
  await assert.rejects(client.fetchManifest(parseReference('registry.test/a/b:c'), signal), { code: 'refused' });
  assert.deepEqual(proxy.asked, ['CONNECT registry.test:443']);
});

test('that image pull secrets cannot be read is logged, though nobody has asked for one yet', limit, async (t) => {
  const { config } = parseConfig(
    '[kubeconfig_keychain]\nenable_keychain = true\nkubeconfig_path = "/nowhere/kubeconfig"',
    'c.toml',
  );
  const logged = Promise.withResolvers<object>();
  const { client } = await openRegistry(config, { ...noLog, warn: logged.resolve });
  t.after(() => client.close());
  assert.match(JSON.stringify(await logged.promise), /watch the image pull secrets of Kubernetes: .*ENOENT/);
});
