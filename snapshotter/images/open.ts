import { tmpdir } from 'node:os';
import type { RegistryClient } from '../registry/client.ts';
import { openArchive } from './archive-source.ts';
import { archiveTarget } from './archive-target.ts';
import { engineSource, engineTarget } from './docker-engine.ts';
import type { ImageSource, ImageTarget } from './image.ts';
import { openLayout } from './layout-source.ts';
import { layoutTarget } from './layout-target.ts';
import { formatLocation, type ImageLocation } from './location.ts';
import { registrySource, registryTarget } from './registry-image.ts';
import { directoryTree } from './stored-file.ts';

export interface OpenOptions {
  /** The caller closes it. */
  readonly client: RegistryClient;
  /** For archives on their way to or from an engine; default: the system's temporary directory. */
  readonly scratch?: string | undefined;
  /** Of the Docker Engine; default: what DOCKER_HOST says. */
  readonly dockerSocket?: string | undefined;
}

/** Throws ImageError or RegistryError; file errors are thrown as they are. */
export async function openSource(
  location: ImageLocation,
  { client, scratch = tmpdir(), dockerSocket: socketPath }: OpenOptions,
  signal: AbortSignal,
): Promise<ImageSource> {
  const name = formatLocation(location);
  switch (location.kind) {
    case 'registry':
      return registrySource(client, location.reference);
    case 'docker-daemon':
      return await engineSource({ image: location.image, name, scratch, socketPath }, signal);
    case 'oci':
      return await openLayout(directoryTree(location.directory, name), location.tag, async () => {});
    case 'docker-archive':
      return await openArchive({ path: location.path, image: location.image, name, scratch, signal });
  }
}

export async function openTarget(
  location: ImageLocation,
  { client, scratch = tmpdir(), dockerSocket: socketPath }: OpenOptions,
): Promise<ImageTarget> {
  const name = formatLocation(location);
  switch (location.kind) {
    case 'registry':
      return registryTarget(client, location.reference);
    case 'docker-daemon':
      return await engineTarget({ image: location.image, name, scratch, socketPath });
    case 'oci':
      return layoutTarget(location.directory, location.tag, name);
    case 'docker-archive':
      return archiveTarget({ path: location.path, image: location.image, name });
  }
}
