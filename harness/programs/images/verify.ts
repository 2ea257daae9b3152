import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { registrySource } from '../../../snapshotter/images/registry-image.ts';
import { inspectImage } from '../../../snapshotter/inspect/image.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { hostPlatform } from '../../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import { openTestbed } from '../../assembly/testbed.ts';
import { say } from '../../cli/program.ts';
import { openAccess } from '../../registry/access.ts';
import { findEmbedded, findPublished, type FoundImage } from './found-images.ts';
import type { ImagesOptions } from './options.ts';

/** A layer and the files of its check. */
const freeBytes = 8e9;

/** Reads all bytes of every image that is there; resolves to false if a digest is wrong or no image is there. */
export async function verifyImages(options: ImagesOptions, signal: AbortSignal): Promise<boolean> {
  const { images, stateDir } = options;
  await using stack = new AsyncDisposableStack();
  let found: readonly FoundImage[];
  let client: RegistryClient;
  let prefix = '';
  if (images.remote === undefined) {
    found = await findEmbedded(options);
    const { registryAddress } = stack.use(await openTestbed({ stateDir, freeBytes }, signal));
    prefix = `${registryAddress}/`;
    client = new RegistryClient();
    stack.defer(() => client.close());
  } else {
    const access = stack.use(openAccess(images.hostsDirectory));
    found = await findPublished(options, access, signal);
    client = access.client;
  }
  const scratch = join(stateDir, 'images');
  await mkdir(scratch, { recursive: true });
  let badCount = 0;
  for (const { name, sizeBytes } of found) {
    if (sizeBytes === undefined) {
      say(`${name}: not there`);
      continue;
    }
    const source = registrySource(client, parseReference(`${prefix}${name}`));
    const settings = { platform: hostPlatform(), verify: true, scratch, onLayer: () => {}, signal };
    const { layers } = await inspectImage(source, settings);
    const problems = layers.flatMap((layer) => layer.problems.map((problem) => `layer ${layer.digest}: ${problem}`));
    if (problems.length > 0) badCount++;
    const chunks = layers.reduce((sum, layer) => sum + (layer.verification?.chunks ?? 0), 0);
    say(`${name}: ${problems.length === 0 ? 'right' : 'WRONG'}, ${layers.length} layers, ${chunks} chunks`);
    for (const problem of problems) say(`  ${problem}`);
  }
  const there = found.filter(({ sizeBytes }) => sizeBytes !== undefined).length;
  say(`${there} of ${found.length} images are there, ${badCount === 0 ? 'all of them right' : `${badCount} WRONG`}`);
  return badCount === 0 && there > 0;
}
