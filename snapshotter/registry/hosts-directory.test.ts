import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { makeCertificate } from '../../testkit/registry-simulator/certificate.ts';
import { privateHeader } from '../../testkit/registry-simulator/journal.ts';
import type { MemoryOrigin } from '../../testkit/registry-simulator/memory-origin.ts';
import { digestOf } from './digest.ts';
import { endpointsOf } from './host.ts';
import { hostsDirectory } from './hosts-directory.ts';
import { parseHostsToml } from './hosts-toml.ts';
import { parseReference } from './reference.ts';
import { inPieces, limit } from './testing/fixture.ts';
import { imageOf, layer, layerDigest, manifest, openClient, startSimulator } from './testing/simulated.ts';

const signal = new AbortController().signal;

/** A directory with these files, by relative path. */
function writeHosts(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'certs.d-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

/** A client configured by the directory, and the failures it reports. */
function openHostsClient(t: TestContext, root: string, now?: () => number) {
  const failures: string[] = [];
  const onFailure = (error: Error): void => void failures.push(error.message);
  const hosts = hostsDirectory(root, { onFailure, ...(now === undefined ? {} : { now }) });
  return { client: openClient(t, { hosts }), failures };
}

function endpoints(toml: string, registry = 'registry.test') {
  const options = parseHostsToml(toml, '/etc/containerd/certs.d/x', (path) => `content of ${path}`);
  return endpointsOf(registry, 1, options);
}

test('hosts are tried in the order of their tables, the server last', () => {
  const all = endpoints(`
server = "https://upstream.test"
capabilities = ["pull"]
[host."https://z.test"]
[host."http://a.test:5000/mirror"]
  capabilities = ["pull", "Resolve"]
[host."m.test"]
  capabilities = []
[host."https://b.test/v2/upstream"]
  override_path = true
`);
  assert.deepEqual(
    all.map(({ id, schemes, capabilities, isMirror }) => [id, schemes[0], [...capabilities].join(), isMirror]),
    [
      ['z.test', 'https', 'pull,resolve,push', true],
      ['a.test:5000/mirror/v2', 'http', 'pull,resolve', true],
      ['m.test', 'https', 'pull,resolve,push', true],
      ['b.test/v2/upstream', 'https', 'pull,resolve,push', true],
      ['upstream.test', 'https', 'pull', false],
    ],
  );
  assert.deepEqual(
    all.map(({ saysNamespace }) => saysNamespace),
    [true, true, true, true, true],
  );
});

test('without a server the registry itself comes last, and Docker Hub by the name of its server', () => {
  const [mirror, own] = endpoints('[host."https://mirror.test"]', 'docker.io');
  assert.equal(mirror?.saysNamespace, true);
  assert.deepEqual([own?.authority, own?.name, own?.saysNamespace], ['registry-1.docker.io', 'docker.io', false]);
  const [hub] = endpoints('server = "https://docker.io"', 'docker.io');
  assert.deepEqual([hub?.authority, hub?.name, hub?.saysNamespace], ['registry-1.docker.io', 'docker.io', false]);
});

test('certificates are named by one path, by a list, or by pairs, relative to the file', () => {
  const at = (path: string) => `content of /etc/containerd/certs.d/x/${path}`;
  const trustOf = (toml: string) => endpoints(toml)[0]!.trust;
  assert.deepEqual(trustOf('ca = "ca.pem"'), { caPem: at('ca.pem') });
  assert.deepEqual(trustOf('ca = ["/a.pem", "b.pem"]'), { caPem: `content of /a.pem\n${at('b.pem')}` });
  const both = { certPem: at('c.pem'), keyPem: at('c.pem') };
  assert.deepEqual(trustOf('client = "c.pem"'), { clientCertificates: [both] });
  assert.deepEqual(trustOf('client = ["c.pem", "c.pem"]'), { clientCertificates: [both, both] });
  assert.deepEqual(trustOf('client = [["c.pem", "k.pem"], ["c.pem", ""]]'), {
    clientCertificates: [{ certPem: at('c.pem'), keyPem: at('k.pem') }, both],
  });
  assert.equal(trustOf('skip_verify = true'), 'unverified');
  assert.equal(trustOf('skip_verify = false'), 'verified');
});

test('http:// together with TLS options tries TLS first', () => {
  const schemesOf = (toml: string) => endpoints(toml)[0]!.schemes;
  assert.deepEqual(schemesOf('[host."http://m.test:5000"]\nskip_verify = true'), ['https', 'http']);
  assert.deepEqual(schemesOf('[host."http://m.test:80"]\nskip_verify = true'), ['http']);
  assert.deepEqual(schemesOf('[host."http://m.test:5000"]'), ['http']);
  assert.deepEqual(schemesOf('[host."https://m.test:5000"]\nskip_verify = true'), ['https']);
});

test('headers, timeouts and proxies apply to their host only', () => {
  const [mirror, own] = endpoints(`
[host."https://m.test"]
  dial_timeout = "1m1.5s"
  proxy = "http://proxy.test:8080"
  [host."https://m.test".header]
    x-one = "1"
    x-many = ["a", "b"]
[header]
  x-own = "yes"
`);
  assert.deepEqual(mirror?.headers, { 'x-one': '1', 'x-many': 'a, b' });
  assert.equal(mirror?.route.connectTimeoutMs, 61_500);
  assert.equal(mirror?.route.proxy?.host, 'proxy.test:8080');
  assert.deepEqual([own?.headers, own?.route], [{ 'x-own': 'yes' }, {}]);
});

for (const [toml, complaint] of [
  ['server = ', /^read \/etc\/containerd\/certs\.d\/x\/hosts\.toml: /],
  ['server = 5', /server: expected a string/],
  ['server = "https://user:secret@a.test"', /server: it holds credentials/],
  ['[host."ftp://a.test"]', /host\."ftp:\/\/a\.test": /],
  ['[host."https://a.test"]\ncapabilities = ["pul"]', /host\."https:\/\/a\.test"\.capabilities: "pul" is none of/],
  ['client = [["a", "b", "c"]]', /client: a pair is/],
  ['dial_timeout = "soon"', /dial_timeout: expected a duration/],
  ['proxy = "socks5://p.test"', /proxy: only HTTP proxies/],
  ['skip_verify = "yes"', /skip_verify: expected true or false/],
  ['host = "https://a.test"', /host: expected a table/],
] as const) {
  test(`${JSON.stringify(toml)} is refused with a message that says where`, () => {
    assert.throws(() => endpoints(toml), { code: 'invalid-host', message: complaint });
  });
}

test('the directory of a registry is found by containerd’s names, in their order', limit, async (t) => {
  const mirrors = [await startSimulator(t), await startSimulator(t), await startSimulator(t), await startSimulator(t)];
  const toml = (index: number) => `server = "http://${mirrors[index]!.host}"`;
  const root = writeHosts(t, {
    'registry.test_5000_/hosts.toml': toml(0),
    'registry.test:5000/hosts.toml': toml(1),
    'other.test:5000/hosts.toml': toml(2),
    '_default/hosts.toml': toml(3),
  });
  const { client } = openHostsClient(t, `/nowhere/at/all:${root}`);
  for (const [index, host] of ['registry.test:5000', undefined, 'other.test:5000', 'any.test'].entries()) {
    if (host === undefined) continue;
    assert.deepEqual((await client.fetchManifest(imageOf({ host }), signal)).bytes, manifest);
    assert.equal(mirrors[index]!.counts.manifests, 1);
    assert.ok(mirrors[index]!.journal.entries[0]!.target.includes(`ns=${encodeURIComponent(host)}`));
  }
  assert.equal(mirrors[1]!.counts.requests, 0);
});

test('a host is not sent requests that need a capability it lacks', limit, async (t) => {
  const blobsOnly = await startSimulator(t);
  const pushOnly = await startSimulator(t);
  const registry = await startSimulator(t);
  const root = writeHosts(t, {
    'registry.test/hosts.toml': `
server = "http://${registry.host}"
[host."http://${blobsOnly.host}"]
  capabilities = ["pull"]
[host."http://${pushOnly.host}"]
  capabilities = ["push"]
`,
  });
  const { client } = openHostsClient(t, root);
  const reference = imageOf({ host: 'registry.test' });
  const { digest } = await client.fetchManifest(reference, signal);
  assert.deepEqual([blobsOnly.counts.manifests, registry.counts.manifests], [0, 1]);
  const { tag: _none, ...byDigest } = reference;
  await client.fetchManifest({ ...byDigest, digest }, signal);
  await client.blob(reference, layerDigest).fetchSuffix(10, signal);
  assert.deepEqual([blobsOnly.counts.manifests, blobsOnly.counts.blobs], [1, 1]);
  assert.equal(registry.counts.blobs, 0);
  const bytes = Buffer.from('pushed');
  const blob = { digest: digestOf(bytes), sizeBytes: bytes.length, open: () => inPieces(bytes) };
  await client.pushBlob(parseReference('registry.test/team/image'), blob, signal);
  assert.deepEqual((pushOnly.origin as MemoryOrigin).blobs.get(blob.digest), bytes);
});

test('a capability that no host has is named in the error', limit, async (t) => {
  const root = writeHosts(t, { 'registry.test/hosts.toml': 'capabilities = ["pull"]' });
  const { client } = openHostsClient(t, root);
  await assert.rejects(client.fetchManifest(imageOf({ host: 'registry.test' }), signal), {
    code: 'refused',
    message: /none of its servers \(registry\.test\) has the capability "resolve"/,
  });
});

test('a CA, a header and Docker’s certificate files are used', limit, async (t) => {
  const registry = await startSimulator(t, { tls: true });
  const inToml = writeHosts(t, {
    'toml.test/ca.pem': registry.caPem!,
    'toml.test/hosts.toml': `
server = "https://${registry.host}"
ca = "ca.pem"
[header]
${privateHeader} = "for the registry"
`,
    [`${registry.host}/ca.crt`]: registry.caPem!,
  });
  const { client, failures } = openHostsClient(t, inToml);
  assert.ok(await client.fetchManifest(imageOf({ host: 'toml.test' }), signal));
  assert.match(registry.journal.entries[0]!.headers, /for the registry/);
  assert.ok(await client.fetchManifest(imageOf(registry), signal));
  assert.deepEqual(failures, []);
  await assert.rejects(
    openHostsClient(t, writeHosts(t, {})).client.fetchManifest(
      imageOf({ host: registry.host.replace('127.0.0.1', 'localhost') }),
      signal,
    ),
    { name: 'RegistryError' },
  );
});

test('a client certificate is presented to its host', limit, async (t) => {
  const certificate = makeCertificate();
  const server = createServer(
    {
      key: certificate.keyPem,
      cert: certificate.certPem,
      ca: certificate.certPem,
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      const isKnown = (request.socket as TLSSocket).authorized;
      response.writeHead(isKnown ? 200 : 403, { 'content-type': 'application/json' }).end(isKnown ? manifest : '');
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const toml = `server = "https://127.0.0.1:${(server.address() as AddressInfo).port}"\nca = "ca.pem"`;
  const root = writeHosts(t, {
    'known.test/ca.pem': certificate.certPem,
    'known.test/key.pem': certificate.keyPem,
    'known.test/hosts.toml': `${toml}\nclient = [["ca.pem", "key.pem"]]`,
    'unknown.test/ca.pem': certificate.certPem,
    'unknown.test/hosts.toml': toml,
  });
  const { client } = openHostsClient(t, root);
  assert.deepEqual((await client.fetchManifest(imageOf({ host: 'known.test' }), signal)).bytes, manifest);
  await assert.rejects(client.fetchManifest(imageOf({ host: 'unknown.test' }), signal), { status: 403 });
});

test('an invalid file is reported once, and its registry is used directly', limit, async (t) => {
  const registry = await startSimulator(t);
  const root = writeHosts(t, { [`${registry.host}/hosts.toml`]: 'capabilities = ["pul"]' });
  let nowMs = 0;
  const { client, failures } = openHostsClient(t, root, () => nowMs);
  for (let time = 0; time < 3; time++) {
    assert.ok(await client.fetchManifest(imageOf(registry), signal));
    nowMs += 10_000;
  }
  assert.equal(failures.length, 1);
  assert.match(failures[0]!, /hosts\.toml: capabilities: "pul"/);
});

test('a certificate that cannot be read is named in the error of the request', limit, async (t) => {
  const root = writeHosts(t, { 'registry.test/hosts.toml': 'ca = "absent.pem"' });
  const { client } = openHostsClient(t, root);
  await assert.rejects(client.fetchManifest(imageOf({ host: 'registry.test' }), signal), {
    code: 'keychain',
    message: new RegExp(`read ${root}/registry\\.test/absent\\.pem: ENOENT`),
  });
});

test('changes apply after five seconds without a restart', limit, async (t) => {
  const [before, after] = [await startSimulator(t), await startSimulator(t)];
  const root = writeHosts(t, { 'registry.test/hosts.toml': `server = "http://${before.host}"` });
  let nowMs = 0;
  const { client } = openHostsClient(t, root, () => nowMs);
  const reference = imageOf({ host: 'registry.test' });
  const suffix = () => client.blob(reference, layerDigest).fetchSuffix(10, signal);
  assert.deepEqual((await suffix()).bytes, layer.subarray(-10));
  writeFileSync(join(root, 'registry.test/hosts.toml'), `server = "http://${after.host}"`);
  nowMs = 4_999;
  await suffix();
  assert.deepEqual([before.counts.blobs, after.counts.blobs], [2, 0]);
  nowMs = 5_000;
  await suffix();
  assert.deepEqual([before.counts.blobs, after.counts.blobs], [2, 1]);
  unlinkSync(join(root, 'registry.test/hosts.toml'));
});
