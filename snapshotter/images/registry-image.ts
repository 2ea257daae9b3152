import type { RegistryClient } from '../registry/client.ts';
import { digestOf } from '../registry/digest.ts';
import { formatReference, type Reference } from '../registry/reference.ts';
import type { ImageSource, ImageTarget } from './image.ts';

/** The caller closes the client. */
export function registrySource(client: RegistryClient, reference: Reference): ImageSource {
  const { registry, repository } = reference;
  return {
    name: formatReference(reference),
    fetchManifest: (digest, signal) =>
      client.fetchManifest(digest === undefined ? reference : { registry, repository, digest }, signal),
    readBlob: (digest, limitBytes, signal) => client.readBlob(reference, digest, limitBytes, signal),
    fetchBlob: ({ digest, urls }, signal) => client.fetchBlob(reference, digest, signal, urls),
    readRange: async ({ digest, urls }, start, end, signal) => {
      const pieces: Buffer[] = [];
      const range = client.blob(reference, digest, urls).fetchRange(start, end, signal);
      for await (const piece of range) pieces.push(Buffer.from(piece));
      return Buffer.concat(pieces);
    },
    close: async () => {},
  };
}

/** The caller closes the client. */
export function registryTarget(client: RegistryClient, reference: Reference): ImageTarget {
  const { registry, repository } = reference;
  return {
    name: formatReference(reference),
    repository: `${registry}/${repository}`,
    takesIndex: true,
    hasBlob: (digest, signal) => client.hasBlob(reference, digest, signal),
    mountBlob: async (digest, from, signal) => {
      // Registry names contain no slash, so the first one ends the name.
      const slash = from.indexOf('/');
      const other = from.slice(slash + 1);
      if (from.slice(0, slash) !== registry || other === repository) return false;
      return await client.mountBlob(reference, digest, other, signal);
    },
    pushBlob: (blob, signal) => client.pushBlob(reference, blob, signal),
    pushManifest: (mediaType, bytes, signal) =>
      client.pushManifest({ registry, repository, digest: digestOf(bytes) }, mediaType, bytes, signal),
    tag: (mediaType, bytes, signal) => client.pushManifest(reference, mediaType, bytes, signal),
    close: async () => {},
  };
}
