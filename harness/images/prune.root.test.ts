import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { writeInto } from '../../testkit/images.ts';
import { findWorkload } from '../../workloads/catalogue.ts';
import { startRegistry } from '../registry/registry.ts';
import { layersDirectory, measureUse, totalOf } from './disk-use.ts';
import { nameImages } from './ensure.ts';
import { planImages } from './plan.ts';
import { chooseEvicted, prune } from './prune.ts';
import { readStore, type StoredImage, storedBytes } from './store.ts';
import { pushImage } from './synthetic-image.ts';
import { hasImage, variantNames } from './variants.ts';

const timeout = 120_000;
const busybox = findWorkload('busybox')!;
const debian = findWorkload('debian')!;
const mib = 2 ** 20;

async function push(stateDir: string, images: Readonly<Record<string, Buffer>>, signal: AbortSignal): Promise<void> {
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  const client = new RegistryClient();
  try {
    for (const [name, content] of Object.entries(images)) {
      const reference = `${registry.address}/${name}`;
      await pushImage(client, { reference, layers: [writeInto('data', content)] }, signal);
    }
  } finally {
    await client.close();
    await registry.close();
  }
}

test('pruning leaves what the recipes name now, and a limit takes the oldest of that', { timeout }, async (t) => {
  const stateDir = openScratch(t, 'prune');
  const signal = AbortSignal.timeout(timeout);
  const names = await nameImages([busybox, debian], stateDir);
  const [current, newer] = [names.get('busybox')!.legacy, names.get('debian')!.legacy];
  const random = () => Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
  const large = Buffer.concat(Array.from({ length: 48 }, random));
  await push(stateDir, { [current]: large, 'busybox:legacy-of-an-older-recipe': large.subarray(mib) }, signal);
  await push(stateDir, { [newer]: large.subarray(2 * mib), 'unknown/program:1': random() }, signal);
  await mkdir(join(stateDir, layersDirectory), { recursive: true });
  await writeFile(join(stateDir, layersDirectory, 'blob'), large);
  const before = await measureUse(stateDir);

  const steps: string[] = [];
  const request = {
    stateDir,
    workloads: [busybox, debian],
    variants: variantNames,
    onStep: (step: string) => steps.push(step),
  };
  await prune({ ...request, limitBytes: undefined }, signal);
  const stored = await readStore(join(stateDir, 'registry'));
  assert.deepEqual([...stored.keys()].sort(), [current, newer].sort());
  const after = await measureUse(stateDir);
  assert.ok(before.registry - after.registry > 2 * mib, `${before.registry} to ${after.registry}`);
  assert.equal(after.convertedLayers, 0);
  assert.equal(steps[0], 'remove 2 images of 4');

  await prune({ ...request, limitBytes: totalOf(after) - mib }, signal);
  assert.deepEqual([...(await readStore(join(stateDir, 'registry'))).keys()], [newer]);
  // What is left can be pulled: the collector has taken nothing that it needs.
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  t.after(() => registry.close());
  const client = new RegistryClient();
  t.after(() => client.close());
  assert.equal(await hasImage(client, `${registry.address}/${newer}`, signal), true);
  assert.equal(await hasImage(client, `${registry.address}/${current}`, signal), false);
});

test('a plan counts what is missing, and what optimised images are made with', { timeout }, async (t) => {
  const stateDir = openScratch(t, 'plan');
  const signal = AbortSignal.timeout(timeout);
  const nothing = await planImages([busybox, debian], ['legacy', 'estargz'], stateDir);
  assert.deepEqual([nothing.missingOriginals, nothing.missingConversions], [2, 4]);
  const names = await nameImages([busybox], stateDir);
  await push(stateDir, { [names.get('busybox')!.legacy]: Buffer.from('x') }, signal);
  const rest = await planImages([busybox, debian], ['legacy', 'estargz'], stateDir);
  assert.deepEqual([rest.missingOriginals, rest.missingConversions], [1, 4]);
  assert.ok(rest.neededBytes < nothing.neededBytes);
});

test('evicted are the oldest images whose own blobs come to enough', () => {
  const image = (name: string, taggedAtMs: number, ...sizes: readonly [string, number][]): StoredImage => ({
    ...{ name, taggedAtMs, digest: `sha256:${name}` as StoredImage['digest'] },
    blobs: sizes.map(([digest, size]) => ({ mediaType: '', digest: digest as StoredImage['digest'], size })),
  });
  const images = [
    image('new', 3, ['shared', 100], ['c', 10]),
    image('old', 1, ['shared', 100], ['a', 10]),
    image('middle', 2, ['b', 50]),
  ];
  assert.equal(storedBytes(images), 170);
  const { evicted, staying } = chooseEvicted(images, 20);
  assert.deepEqual(
    evicted.map(({ name }) => name),
    ['old', 'middle'],
  );
  assert.deepEqual(
    staying.map(({ name }) => name),
    ['new'],
  );
  assert.equal(chooseEvicted(images, 1000).staying.length, 0);
});
