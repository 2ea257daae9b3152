import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { pushLazy } from '../../../testkit/images.ts';
import { suiteLifetime, undoAfter } from '../../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../../testkit/registry.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { stargz } from '../../cell/modes/stargz.ts';
import { clearSandbox, openSandbox } from '../../cell/sandbox.ts';
import { type Comparison, compareMounts } from './compare.ts';
import { awkwardLayers } from './testing/awkward-layers.ts';

const timeout = 120_000;
const suite = suiteLifetime();
const scratch = openScratch(suite, 'equality');
let registry: TestRegistry;

before(
  async () => {
    undoAfter(suite, () => clearSandbox(openSandbox(scratch)));
    registry = await startRegistry(suite);
    for (const format of ['stargz', 'estargz'] as const) {
      await pushLazy({ reference: `${registry.host}/awkward:${format}`, layers: awkwardLayers }, { format });
    }
  },
  { timeout },
);

function compare(mode: typeof estargz, backend: string): Promise<Comparison> {
  return compareMounts(
    {
      sandbox: openSandbox(scratch),
      registryAddress: registry.host,
      image: `${registry.host}/awkward:${mode.variant}`,
      daemonConfig: { ...mode.daemonConfig, mount: { backend } },
    },
    AbortSignal.timeout(timeout),
  );
}

for (const mode of [stargz, estargz]) {
  for (const backend of ['fuse', 'erofs']) {
    test(`every entry of a lazily mounted ${mode.name} image is what overlayfs unpacks (${backend})`, {
      timeout,
    }, async () => {
      const { differences, entries, layers, mount } = await compare(mode, backend);
      assert.deepEqual(differences, []);
      assert.equal(layers, awkwardLayers.length);
      assert.equal(mount, backend);
      assert.ok(entries > 2000, `only ${entries} entries were compared`);
    });
  }
}
