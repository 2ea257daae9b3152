import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { stringify } from 'smol-toml';
import { readEnvironment } from '../../../measurements/environment.ts';
import { readSamples } from '../../../measurements/sample.ts';
import { convertPlain, pushPlain, writeInto } from '../../../testkit/images.ts';
import { type Lifetime, undoAfter } from '../../../testkit/lifetime.ts';
import { startRegistry } from '../../../testkit/registry.ts';
import { makeCertificate } from '../../../testkit/registry-simulator/certificate.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { clearSandbox, openSandbox } from '../../cell/sandbox.ts';
import { fillShell } from '../../images/synthetic-image.ts';

const timeout = 110_000;
const root = fileURLToPath(new URL('../../..', import.meta.url));
const fileBytes = 4 * 2 ** 20;

/** Forwards TLS connections on an address of this machine that is not loopback, which no client reaches through a proxy. */
async function terminateTls(lifetime: Lifetime, upstream: string): Promise<string> {
  const { keyPem: key, certPem: cert } = makeCertificate();
  const [host, port] = upstream.split(':');
  const server = createServer({ key, cert }, (socket) => {
    const onward = connect({ host: host!, port: Number(port) });
    socket.pipe(onward).pipe(socket);
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  const own = Object.values(networkInterfaces())
    .flat()
    .find((found) => found?.family === 'IPv4' && !found.internal);
  assert.ok(own, 'this machine has no network');
  server.listen(0, own.address);
  await once(server, 'listening');
  undoAfter(lifetime, () => void server.close());
  return `${own.address}:${(server.address() as AddressInfo).port}`;
}

test('a link is emulated before another registry when it is asked for, and counts', { timeout }, async (t) => {
  const scratch = openScratch(t, 'remote');
  const stateDir = join(scratch, 'state');
  const upstream = await startRegistry(t);
  undoAfter(t, () => clearSandbox(openSandbox(stateDir)));
  const [plain, lazy] = ['org', 'esgz'].map((suffix) => `${upstream.host}/bench/busybox:1.35-${suffix}`) as [
    string,
    string,
  ];
  await pushPlain({ reference: plain, layers: [fillShell, writeInto('data', randomBytes(fileBytes))] });
  await convertPlain(plain, lazy, { format: 'estargz' });
  const registry = await terminateTls(t, upstream.host);
  // Its certificate is of other addresses.
  const hosts = join(scratch, 'hosts');
  const server = `https://${registry}`;
  mkdirSync(join(hosts, registry), { recursive: true });
  writeFileSync(join(hosts, registry, 'hosts.toml'), stringify({ server, host: { [server]: { skip_verify: true } } }));

  const out = join(scratch, 'results');
  const args = [
    ...['--registry', `${registry}/bench`, '--hosts-dir', hosts, '--rtt', '5ms', '--bandwidth', '500mbit'],
    ...['--workloads', 'busybox', '--modes', 'legacy,estargz', '--samples', '1', '--state-dir', stateDir, '--out', out],
  ];
  const env = { DOCKER_CONFIG: join(scratch, 'docker'), NO_COLOR: '1' };
  const options = { cwd: root, env, reject: false, stdin: 'ignore', timeout } as const;
  const { exitCode, stdout, stderr } = await execa(process.execPath, ['harness/main.ts', 'bench', ...args], options);
  assert.equal(exitCode, 0, stderr + stdout);
  const path = join(out, 'bench', (await readdir(join(out, 'bench')))[0]!);
  assert.deepEqual((await readEnvironment(path)).link, { rttMs: 5, bandwidthMbps: 500 });
  const samples = await readSamples(path);
  const wire = Object.fromEntries(samples.map(({ mode, wireBytes = 0 }) => [mode, wireBytes]));
  assert.ok(samples.every(({ rttMs, wireRequests }) => rttMs === 5 && wireRequests === undefined));
  assert.ok(wire.legacy! > fileBytes, `${wire.legacy} bytes crossed the link`);
  assert.ok(wire.estargz! > 0 && samples.find(({ mode }) => mode === 'estargz')!.lazyLayers === 2);
});
