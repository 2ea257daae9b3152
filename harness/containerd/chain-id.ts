import { type Digest, digestOf, parseDigest } from '../../snapshotter/registry/digest.ts';

/**
 * The ChainID of each layer, bottom first, which names its snapshot (OCI image-spec, "Layer ChainID"): that of the first
 * is its DiffID, any other is the digest of its parent's ChainID and its own DiffID.
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
