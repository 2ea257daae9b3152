import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { openSource, openTarget } from '../../../snapshotter/images/open.ts';
import { parseLocation } from '../../../snapshotter/images/location.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { encodeFile, endOfArchive } from '../../../snapshotter/tar/tar-header.ts';
import { startContainerd } from '../../../testkit/containerd.ts';
import { pseudoRandomBytes } from '../../../testkit/random.ts';
import { startRegistry } from '../../../testkit/registry.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { pushImage } from '../../images/synthetic-image.ts';
import { convertByPeer, convertByUs, copyImage, fetchToStore } from './measure.ts';

test('both converters convert the same image again and again, to about the same size', {
  timeout: 120_000,
}, async (t) => {
  const signal = AbortSignal.timeout(100_000);
  const scratch = openScratch(t, 'convert');
  const registry = await startRegistry(t);
  const client = new RegistryClient();
  t.after(() => client.close());
  const name = `${registry.host}/small:1`;
  const tar = Buffer.concat([encodeFile('data', pseudoRandomBytes(300_000, 1)), endOfArchive]);
  await pushImage(client, { reference: name, layers: [tar] }, signal);

  const layout = join(scratch, 'layout');
  const source = await openSource(parseLocation(name), { client }, signal);
  const target = await openTarget({ kind: 'oci', directory: layout }, { client });
  const sourceBytes = await copyImage(source, target, signal);
  assert.ok(Math.abs(sourceBytes - gzipSync(tar).length) < 1000, String(sourceBytes));
  const { address } = await startContainerd(t, join(scratch, 'containerd'), {
    registryAddress: registry.host,
  });
  await fetchToStore({ address, image: name }, signal);
  for (let round = 0; round < 2; round++) {
    const ours = await convertByUs(layout, 6, signal);
    const theirs = await convertByPeer({ address, image: name }, 6, signal);
    assert.ok(ours.convertMs > 0 && theirs.convertMs > 0);
    assert.ok(Math.abs(ours.convertedBytes - theirs.convertedBytes) < 3000, JSON.stringify([ours, theirs]));
  }
  assert.equal(existsSync(`${layout}-converted`), false);
});
