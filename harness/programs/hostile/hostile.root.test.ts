import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { pushLazy } from '../../../testkit/images.ts';
import { suiteLifetime, undoAfter } from '../../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../../testkit/registry.ts';
import type { SimulatorCounts } from '../../../testkit/registry-simulator/journal.ts';
import type { RegistrySimulator } from '../../../testkit/registry-simulator/simulator.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { clearSandbox, openSandbox } from '../../cell/sandbox.ts';
import { compareMounts } from '../equality/compare.ts';
import { awkwardLayers } from '../equality/testing/awkward-layers.ts';
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
const maxRounds = 4;
const suite = suiteLifetime();
const scratch = openScratch(suite, 'hostile');
let registry: TestRegistry;
let simulator: RegistrySimulator;

before(
  async () => {
    registry = await startRegistry(suite);
    await pushLazy({ reference: `${registry.host}/awkward:estargz`, layers: awkwardLayers });
    simulator = await startHostileRegistry(registry.host, 1);
    undoAfter(suite, () => simulator.close());
    undoAfter(suite, () => clearSandbox(openSandbox(scratch)));
    process.env.DOCKER_CONFIG = await writeDockerConfig(join(scratch, 'docker'), simulator.host);
  },
  { timeout },
);

async function compare(): Promise<SimulatorCounts> {
  const start = { ...simulator.counts };
  const { differences, entries, mount } = await compareMounts(
    {
      sandbox: openSandbox(scratch),
      registryAddress: registry.host,
      image: `${registry.host}/awkward:estargz`,
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
  simulator.behave({ weather: { ...roughWeather, tooManyRequests: 0.1, reset: 0.15, cut: 0.15 } });
  const kinds = ['tooManyRequests', 'resets', 'cuts', 'cdn'] as const;
  const start = { ...simulator.counts };
  let rough = await compare();
  let rounds = 1;
  // Which requests there are depends on timing, and with them the faults that a seed brings.
  while (rounds < maxRounds && kinds.some((kind) => rough[kind] === 0)) {
    await compare();
    rough = countsBetween(start, { ...simulator.counts });
    rounds++;
  }
  t.diagnostic(`calm ${JSON.stringify(calm)}`);
  t.diagnostic(`rough, ${rounds} rounds: ${JSON.stringify(rough)}`);
  for (const kind of kinds) assert.ok(rough[kind] > 0, `no ${kind} happened`);
  assert.equal(simulator.counts.leaks, 0, 'credentials went to the CDN');
  assert.ok(
    rough.requests <= maxRequests(calm, rough, rounds),
    `${rough.requests} requests, ${calm.requests} in calm weather, ${troubleIn(rough)} went wrong`,
  );
});
