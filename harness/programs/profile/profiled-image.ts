import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readAccesses } from '../../../snapshotter/convert/accesses.ts';
import { type PublishedProfile, publishProfile } from '../../../snapshotter/convert/profile.ts';
import type { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { parseManifest } from '../../../snapshotter/registry/manifest.ts';
import { parseReference, type Reference } from '../../../snapshotter/registry/reference.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { recordAccesses } from '../../cell/record.ts';
import { HarnessError } from '../../cli/error.ts';

export interface ProfileRequest {
  readonly client: RegistryClient;
  readonly stateDir: string;
  /** `host:port` of the registry itself. */
  readonly registryAddress: string;
  readonly workload: Workload;
  /** `repository:tag` of an image that was converted without an access record. */
  readonly image: string;
}

export interface ProfiledImage {
  /** `repository:tag` of a copy of the image, which has the profile: other programs measure the image without one. */
  readonly image: string;
  readonly profile: PublishedProfile;
}

/** Learns from a run of the image, as one in production, and publishes that. */
export async function publishRun(request: ProfileRequest, signal: AbortSignal): Promise<ProfiledImage> {
  const { client, stateDir, registryAddress, workload } = request;
  // Workloads may share an image, which has one profile.
  const image = `profiled/${workload.name}/${request.image}`;
  const target = parseReference(`${registryAddress}/${image}`);
  await copyImage(client, parseReference(`${registryAddress}/${request.image}`), target, signal);
  const path = join(stateDir, 'profile-accesses.jsonl');
  await rm(path, { force: true });
  try {
    await recordAccesses({ stateDir, registryAddress, workload, image, path }, signal);
    const profile = await publishProfile(client, target, { accesses: await readAccesses(path), signal });
    return { image, profile };
  } finally {
    await rm(path, { force: true });
  }
}

/** Within the registry, without moving a blob. */
async function copyImage(client: RegistryClient, from: Reference, to: Reference, signal: AbortSignal): Promise<void> {
  const { bytes, mediaType } = await client.fetchManifest(from, signal);
  const parsed = parseManifest(bytes, mediaType);
  if (parsed.kind === 'index') throw new HarnessError('image-convert', `${from.repository} is an index`);
  const { config, layers } = parsed.manifest;
  for (const { digest } of [config, ...layers]) {
    if (!(await client.mountBlob(to, digest, from.repository, signal)))
      throw new HarnessError('image-convert', `the registry does not mount ${digest} into ${to.repository}`);
  }
  await client.pushManifest(to, mediaType, bytes, signal);
}
