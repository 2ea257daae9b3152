import { type Digest, digestOf, parseDigest } from '../../snapshotter/registry/digest.ts';

/**
 * The name of each layer's snapshot, bottom first (OCI image-spec, "Layer ChainID"): that of the first is its diff id,
 * every other digests its parent's and its own.
 */
export function chainIds(diffIds: readonly string[]): Digest[] {
  const chain: Digest[] = [];
  for (const text of diffIds) {
    const diffId = parseDigest(text);
    const parent = chain.at(-1);
    chain.push(parent === undefined ? diffId : digestOf(`${parent} ${diffId}`));
  }
  return chain;
}
