import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import type { SimulatorCounts } from '../../../testkit/registry-simulator/journal.ts';
import type { RegistrySimulator } from '../../../testkit/registry-simulator/simulator.ts';
import { openSandbox, clearSandbox } from '../../cell/sandbox.ts';
import { compareMounts } from '../equality/compare.ts';
import { awkwardLayers } from '../equality/testing/awkward-layers.ts';
import { pushImageOf } from '../../images/tiny-image.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { type Registry, startRegistry } from '../../registry/registry.ts';
import {
  countsBetween,
  maxRequests,
  pullPatiently,
  roughWeather,
  startHostileRegistry,
  troubleIn,
  writeDockerConfig,
} from './weather.ts';

const timeout = 150_000;
let scratch: string;
let registry: Registry;
let simulator: RegistrySimulator;

before(
  async () => {
    scratch = await mkdtemp(join(tmpdir(), 'bench-hostile-'));
    const signal = AbortSignal.timeout(timeout);
    registry = await startRegistry({ dataDir: join(scratch, 'registry') }, signal);
    const at = (tag: string) => `${registry.address}/awkward:${tag}`;
    await pushImageOf(awkwardLayers, at('legacy'), join(scratch, 'image'), signal);
    const client = new RegistryClient();
    await convertImage(client, parseReference(at('legacy')), parseReference(at('estargz')), {
      format: 'estargz',
      signal,
    }).finally(() => client.close());
    simulator = await startHostileRegistry(registry.address, 1);
    process.env.DOCKER_CONFIG = await writeDockerConfig(join(scratch, 'docker'), simulator.host);
  },
  { timeout },
);

after(async () => {
  delete process.env.DOCKER_CONFIG;
  await clearSandbox(openSandbox(scratch));
  await simulator?.close();
  await registry?.close();
  await rm(scratch, { recursive: true, force: true });
});

async function compare(): Promise<SimulatorCounts> {
  const start = { ...simulator.counts };
  const { differences, entries, mount } = await compareMounts(
    {
      sandbox: openSandbox(scratch),
      registryAddress: registry.address,
      image: `${registry.address}/awkward:estargz`,
      lazyFrom: { registryAddress: simulator.host, image: `${simulator.host}/awkward:estargz`, pull: pullPatiently },
      daemonConfig: { ...estargz.daemonConfig, noprefetch: true },
    },
    AbortSignal.timeout(timeout),
  );
  assert.deepEqual(differences, []);
  assert.notEqual(mount, 'overlayfs');
  assert.ok(entries > 2000, `only ${entries} entries were compared`);
  return countsBetween(start, { ...simulator.counts });
}

test('content from a misbehaving registry equals what overlayfs unpacks, within a bounded number of retries', {
  timeout,
}, async (t) => {
  const calm = await compare();
  assert.ok(simulator.issuedTokens() > 0 && calm.unauthorized > 0, 'no token was asked for');
  // There are few requests, so a larger share of them is to fail.
  simulator.behave({ weather: { ...roughWeather, tooManyRequests: 0.1, reset: 0.12, cut: 0.15 } });
  const rough = await compare();
  t.diagnostic(`calm ${JSON.stringify(calm)}`);
  t.diagnostic(`rough ${JSON.stringify(rough)}`);
  for (const kind of ['tooManyRequests', 'resets', 'cuts', 'cdn'] as const) {
    assert.ok(rough[kind] > 0, `no ${kind} happened`);
  }
  assert.equal(simulator.counts.leaks, 0, 'credentials went to the CDN');
  assert.ok(
    rough.requests <= maxRequests(calm, rough),
    `${rough.requests} requests, ${calm.requests} in calm weather, ${troubleIn(rough)} went wrong`,
  );
});
