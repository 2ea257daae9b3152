import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { startContainerd, type TestContainerd } from '../../../testkit/containerd.ts';
import { pushPlain } from '../../../testkit/images.ts';
import { undoAfter } from '../../../testkit/lifetime.ts';
import { startRegistry } from '../../../testkit/registry.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { clearSandbox, openSandbox } from '../../cell/sandbox.ts';
import type { FillLayer } from '../../images/synthetic-image.ts';
import { compareMounts } from './compare.ts';
import { awkwardLayers } from './testing/awkward-layers.ts';

const timeout = 120_000;

/**
 * Without what the reference's TOC cannot say: fractions of a second, which it rounds off, and names that are not UTF-8,
 * whose bytes it replaces.
 */
function asTheReferenceCan(fill: FillLayer): FillLayer {
  return async (root) => {
    await fill(root);
    await execa('find', [root, '-name', 'latin-*', '-delete']);
    await execa('find', [root, '-exec', 'touch', '-h', '-d', '@1000000000', '{}', '+']);
  };
}

async function optimize(containerd: TestContainerd, source: string, target: string): Promise<void> {
  await containerd.command('ctr', ['images', 'pull', '--plain-http', '--snapshotter', 'native', source]);
  await containerd.command('ctr-remote', ['images', 'optimize', '--oci', '--no-optimize', source, target]);
  await containerd.command('ctr', ['images', 'push', '--plain-http', target]);
}

test('an image made by ctr-remote images optimize is mounted lazily and is what overlayfs unpacks', {
  timeout,
}, async (t) => {
  const scratch = openScratch(t, 'reference');
  const sandbox = openSandbox(scratch);
  undoAfter(t, () => clearSandbox(sandbox));
  const registry = await startRegistry(t);
  const source = `${registry.host}/awkward:legacy`;
  const target = `${registry.host}/awkward:reference`;
  await pushPlain({ reference: source, layers: awkwardLayers.map(asTheReferenceCan) });
  const containerd = await startContainerd(t, join(scratch, 'containerd'));
  await optimize(containerd, source, target);
  await containerd.stop();
  const { differences, entries, layers } = await compareMounts(
    { sandbox, registryAddress: registry.host, image: target, daemonConfig: { ...estargz.daemonConfig } },
    AbortSignal.timeout(timeout),
  );
  assert.deepEqual(differences, []);
  assert.equal(layers, awkwardLayers.length);
  assert.ok(entries > 2000, `only ${entries} entries were compared`);
});
