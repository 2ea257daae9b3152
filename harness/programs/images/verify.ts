import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageSource } from '../../../snapshotter/images/image.ts';
import { registrySource } from '../../../snapshotter/images/registry-image.ts';
import { inspectImage } from '../../../snapshotter/inspect/image.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { RegistryError } from '../../../snapshotter/registry/error.ts';
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
    const { problems, summary } = await verifyImage(source, scratch, signal);
    if (problems.length > 0) badCount++;
    say(`${name}: ${problems.length === 0 ? `right, ${summary}` : 'WRONG'}`);
    for (const problem of problems) say(`  ${problem}`);
  }
  const there = found.filter(({ sizeBytes }) => sizeBytes !== undefined).length;
  const verdict = badCount > 0 ? `, ${badCount} WRONG` : there > 0 ? ', all of them right' : '';
  say(`${there} of ${found.length} images are there${verdict}`);
  return badCount === 0 && there > 0;
}

/** Bytes that fail their digest as they arrive are a problem like any other. */
async function verifyImage(source: ImageSource, scratch: string, signal: AbortSignal) {
  try {
    const settings = { platform: hostPlatform(), verify: true, scratch, onLayer: () => {}, signal };
    const { layers } = await inspectImage(source, settings);
    const problems = layers.flatMap((layer) => layer.problems.map((problem) => `layer ${layer.digest}: ${problem}`));
    const chunks = layers.reduce((sum, layer) => sum + (layer.verification?.chunks ?? 0), 0);
    return { problems, summary: `${layers.length === 1 ? '1 layer' : `${layers.length} layers`}, ${chunks} chunks` };
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== 'digest-mismatch') throw error;
    return { problems: [error.message], summary: '' };
  }
}
