import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type RegistrySimulator, startRegistrySimulator } from '../../testkit/registry-simulator/simulator.ts';
import { parseConfig } from './config.ts';
import { noLog } from '../platform/log.ts';
import { openRegistry } from './registries.ts';
import type { RegistryClient } from '../registry/client.ts';
import { digestOf } from '../registry/digest.ts';
import { parseReference } from '../registry/reference.ts';
import { startForwardProxy } from '../registry/testing/forward-proxy.ts';

const limit = { timeout: 20_000 };
const signal = new AbortController().signal;
/** The minimum. If it is ignored, the default of 30 s exceeds the test's limit. */
const oneSecond = 'request_timeout_sec = 1';

/** A registry that never responds to requests for manifests and stalls in the middle of blobs; returns its host. */
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

/** The daemon's client with this [resolver] section. */
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

test('a mirror without a timeout uses that of [resolver], as its registry does', limit, async (t) => {
  const [registry, mirror] = [await startStallingRegistry(t), await startStallingRegistry(t)];
  const client = await openClient(t, `${oneSecond}\n[[resolver.host."${registry}".mirrors]]\nhost = "${mirror}"`);
  await assert.rejects(client.fetchManifest(parseReference(`${registry}/a/b:c`), signal), {
    code: 'timeout',
    host: registry,
    message: new RegExp(`${mirror} failed too`),
  });
});

test("a mirror's own timeout takes precedence over that of [resolver]", limit, async (t) => {
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

test('the daemon reaches registries through the proxy that its environment names', limit, async (t) => {
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

test('a failure to read image pull secrets is logged even before a lookup', limit, async (t) => {
  const { config } = parseConfig(
    '[kubeconfig_keychain]\nenable_keychain = true\nkubeconfig_path = "/nowhere/kubeconfig"',
    'c.toml',
  );
  const logged = Promise.withResolvers<object>();
  const { client } = await openRegistry(config, { ...noLog, warn: logged.resolve });
  t.after(() => client.close());
  assert.match(JSON.stringify(await logged.promise), /watch the image pull secrets of Kubernetes: .*ENOENT/);
});

test('hosts.toml files in config_path are read, and a table in config.toml takes precedence', limit, async (t) => {
  const layer = Buffer.from('the content of a layer');
  const simulators = [1, 2].map(() => startRegistrySimulator({ content: { blobs: [layer] } }));
  const [inFile, inTable] = (await Promise.all(simulators)) as [RegistrySimulator, RegistrySimulator];
  const root = mkdtempSync(join(tmpdir(), 'certs.d-'));
  t.after(async () => {
    rmSync(root, { recursive: true, force: true });
    await Promise.all([inFile.close(), inTable.close()]);
  });
  mkdirSync(join(root, '_default'));
  writeFileSync(join(root, '_default/hosts.toml'), `server = "http://${inFile.host}"`);
  const table = `[[resolver.host."index.docker.io".mirrors]]\nhost = "${inTable.host}/v2"`;
  const client = await openClient(t, `config_path = "${root}"\n${table}`);
  for (const [image, { counts }] of [
    ['ghcr.io/a/b', inFile],
    ['python', inTable],
  ] as const) {
    const { bytes } = await client.blob(parseReference(image), digestOf(layer)).fetchSuffix(100, signal);
    assert.deepEqual(bytes, layer);
    assert.equal(counts.blobs, 1, image);
  }
});

test('a server that sent wrong bytes is logged and counted', limit, async (t) => {
  const { config } = parseConfig('', 'c.toml');
  const lines: unknown[] = [];
  const counted: string[] = [];
  const log = { ...noLog, warn: (fields: object, message: string) => void lines.push({ ...fields, message }) };
  const { client } = await openRegistry(config, log, (server) => void counted.push(server));
  t.after(() => client.close());
  const digest = digestOf('any');
  client.blob(parseReference('registry.test/a/b'), digest).distrust(new Set(['mirror.test:5000']));
  assert.deepEqual(counted, ['mirror.test:5000']);
  assert.deepEqual(lines, [
    {
      server: 'mirror.test:5000',
      operation: `fetch blob ${digest} of registry.test/a/b`,
      askedLastForMs: 600_000,
      message: 'bytes failed their digest; other servers are asked first',
    },
  ]);
});
