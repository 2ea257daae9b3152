import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import { openSandbox, clearSandbox } from '../../cell/sandbox.ts';
import { pushImageOf } from '../../images/tiny-image.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { stargz } from '../../cell/modes/stargz.ts';
import { type Registry, startRegistry } from '../../registry/registry.ts';
import { type Comparison, compareMounts } from './compare.ts';
import { awkwardLayers } from './testing/awkward-layers.ts';

const timeout = 120_000;
let scratch: string;
let registry: Registry;

before(
  async () => {
    scratch = await mkdtemp(join(tmpdir(), 'bench-equality-'));
    const signal = AbortSignal.timeout(timeout);
    registry = await startRegistry({ dataDir: join(scratch, 'registry') }, signal);
    await pushImageOf(awkwardLayers, `${registry.address}/awkward:legacy`, join(scratch, 'image'), signal);
    const client = new RegistryClient();
    try {
      for (const format of ['stargz', 'estargz'] as const) {
        await convertImage(
          client,
          parseReference(`${registry.address}/awkward:legacy`),
          parseReference(`${registry.address}/awkward:${format}`),
          { format, signal },
        );
      }
    } finally {
      await client.close();
    }
  },
  { timeout },
);

after(async () => {
  await clearSandbox(openSandbox(scratch));
  await registry?.close();
  await rm(scratch, { recursive: true, force: true });
});

function compare(mode: typeof estargz, backend: string): Promise<Comparison> {
  return compareMounts(
    {
      sandbox: openSandbox(scratch),
      registryAddress: registry.address,
      image: `${registry.address}/awkward:${mode.variant}`,
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
