import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import {
  type PrivateContainerd,
  startPrivateContainerd,
} from '../../../snapshotter/convert/testing/private-containerd.ts';
import { openSandbox, clearSandbox } from '../../cell/sandbox.ts';
import { type FillLayer, pushImageOf } from '../../images/tiny-image.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { startRegistry } from '../../registry/registry.ts';
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

async function optimize(containerd: PrivateContainerd, source: string, target: string): Promise<void> {
  await containerd.command('ctr', ['images', 'pull', '--plain-http', '--snapshotter', 'native', source]);
  await containerd.command('ctr-remote', ['images', 'optimize', '--oci', '--no-optimize', source, target]);
  await containerd.command('ctr', ['images', 'push', '--plain-http', target]);
}

test('an image made by ctr-remote images optimize is mounted lazily and is what overlayfs unpacks', {
  timeout,
}, async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'bench-reference-'));
  const sandbox = openSandbox(scratch);
  t.after(async () => {
    await clearSandbox(sandbox);
    await rm(scratch, { recursive: true, force: true });
  });
  const signal = AbortSignal.timeout(timeout);
  const registry = await startRegistry({ dataDir: join(scratch, 'registry') }, signal);
  t.after(() => registry.close());
  const source = `${registry.address}/awkward:legacy`;
  const target = `${registry.address}/awkward:reference`;
  await pushImageOf(awkwardLayers.map(asTheReferenceCan), source, join(scratch, 'image'), signal);
  const containerd = await startPrivateContainerd();
  try {
    await optimize(containerd, source, target);
  } finally {
    await containerd.close();
  }
  const { differences, entries, layers } = await compareMounts(
    { sandbox, registryAddress: registry.address, image: target, daemonConfig: { ...estargz.daemonConfig } },
    signal,
  );
  assert.deepEqual(differences, []);
  assert.equal(layers, awkwardLayers.length);
  assert.ok(entries > 2000, `only ${entries} entries were compared`);
});
