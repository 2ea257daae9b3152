import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type AccessRecord, readAccesses } from '../../snapshotter/convert/accesses.ts';
import { convertFrom } from '../../snapshotter/convert/image.ts';
import type { ImageSource } from '../../snapshotter/images/image.ts';
import { registryTarget } from '../../snapshotter/images/registry-image.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { hostPlatform } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import type { Workload } from '../../workloads/workload.ts';
import { recordAccesses } from '../cell/record.ts';
import { HarnessError } from '../cli/error.ts';
import { findMissing, runPackages } from '../host/install.ts';
import { preflight } from '../host/preflight.ts';
import { startRegistry } from '../registry/registry.ts';

export interface RecordImageRequest {
  readonly source: ImageSource;
  readonly workload: Workload;
  /** A directory of its own is made below it, and removed. */
  readonly stateDir: string;
  readonly onStep: (detail: string) => void;
}

/** Beside the image as it is converted for the recording. */
const freeBytes = 2 ** 30;

/**
 * What a run of an image reads until it is ready, by the layers of the image: it is converted to stargz into a registry of its own
 * and run there by a containerd of its own with our snapshotter. Throws HarnessError, ConvertError or RegistryError.
 */
export async function recordImage(
  { source, workload, stateDir, onStep }: RecordImageRequest,
  signal: AbortSignal,
): Promise<readonly AccessRecord[]> {
  await preflight({ stateDir, freeBytes });
  const missing = (await findMissing(runPackages)).map((need) => need.package);
  if (missing.length > 0) {
    throw new HarnessError('missing-command', `cannot record a run: ${missing.join(', ')} is not installed`, {
      remedy: `apt-get install ${missing.join(' ')}`,
    });
  }
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(stateDir, 'stargz-optimize-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const registry = await startRegistry({ dataDir: join(directory, 'registry') }, signal);
  stack.defer(() => registry.close());
  const client = new RegistryClient();
  stack.defer(() => client.close());
  const image = 'recorded:stargz';
  const target = registryTarget(client, parseReference(`${registry.address}/${image}`));
  onStep(`convert ${source.name} for a run`);
  const cacheDir = join(directory, 'layers');
  const { layers } = await convertFrom(source, target, {
    ...{ format: 'stargz', level: 1, platform: hostPlatform(), cacheDir, signal },
  });
  onStep(`run ${workload.name} until it is ready, and record what it reads`);
  const path = join(directory, 'accesses.jsonl');
  const recording = { stateDir: directory, registryAddress: registry.address, workload, image, path };
  await recordAccesses(recording, signal);
  const accesses = await readAccesses(path);
  if (accesses.length === 0) throw new HarnessError('image-convert', `a run of ${source.name} read nothing of it`);
  const origins = new Map(layers.map(({ digest, source: origin }) => [digest, origin]));
  return accesses.map((access) => ({ ...access, layer: origins.get(access.layer) ?? access.layer }));
}
