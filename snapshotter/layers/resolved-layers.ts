import type { Digest } from '../registry/digest.ts';
import { LayerError } from './error.ts';
import type { LayerFacts } from './resolve.ts';

/** Resolutions kept at most, whatever their age: a request names 40 layers or so. */
const mostKept = 512;

export interface ResolvedLayers {
  /** The resolution of this blob of this repository that is under way or fresh, else one started by `resolve`. */
  get(repository: string, digest: Digest, resolve: () => Promise<LayerFacts>): Promise<LayerFacts>;
  has(repository: string, digest: Digest): boolean;
  /** It was used: the store has it now. */
  forget(repository: string, digest: Digest): void;
  clear(): void;
}

/**
 * Footers and TOCs fetched ahead of the Prepare that will want them. Also remembers that a layer is an ordinary one;
 * other failures are not kept, so that the next Prepare asks again. Per repository, since access is granted per repository.
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
      if (entries.size > mostKept) drop(entries.keys().next().value!);
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
