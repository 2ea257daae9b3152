import type { Digest } from '../registry/digest.ts';
import { LayerError } from './error.ts';
import type { LayerFacts } from './resolve.ts';

/** Maximum number of entries; a request names some 40 layers. */
const maxEntries = 512;

export interface ResolvedLayers {
  /** Returns the pending or cached resolution of this blob in this repository, or starts one with `resolve`. */
  get(repository: string, digest: Digest, resolve: () => Promise<LayerFacts>): Promise<LayerFacts>;
  has(repository: string, digest: Digest): boolean;
  /** Drops an entry that was used or is wrong. */
  forget(repository: string, digest: Digest): void;
  clear(): void;
}

/**
 * Caches footers and TOCs ahead of the Prepares that need them, and which layers are ordinary ones. Other failures are not
 * cached. Entries are per repository, as access is.
 */
export function createResolvedLayers(ttlMs: number): ResolvedLayers {
  const entries = new Map<string, { readonly promise: Promise<LayerFacts>; readonly timer: NodeJS.Timeout }>();
  const drop = (key: string): void => {
    const entry = entries.get(key);
    if (entry === undefined) return;
    clearTimeout(entry.timer);
    entries.delete(key);
    entry.promise.then(
      ({ memory }) => memory.close(),
      () => {},
    );
  };
  return {
    get(repository, digest, resolve) {
      const key = `${repository}@${digest}`;
      const known = entries.get(key);
      if (known !== undefined) return known.promise;
      const promise = resolve();
      entries.set(key, { promise, timer: setTimeout(() => drop(key), ttlMs).unref() });
      if (entries.size > maxEntries) drop(entries.keys().next().value!);
      promise.catch((error) => {
        if (!(error instanceof LayerError && error.reason === 'not-lazy')) drop(key);
      });
      return promise;
    },
    has: (repository, digest) => entries.has(`${repository}@${digest}`),
    forget: (repository, digest) => drop(`${repository}@${digest}`),
    clear() {
      for (const key of [...entries.keys()]) drop(key);
    },
  };
}
