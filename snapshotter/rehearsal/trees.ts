import type { LayerBuilder } from '../builder/builder.ts';
import { createTreeMemory } from '../builder/tree-memory.ts';
import { wrapPackedToc } from '../estargz/packed-toc.ts';
import type { LayerConfig } from '../layers/layer-config.ts';
import { plainView } from '../layers/views.ts';
import { packTree } from '../tree/pack.ts';
import { makeRehearsedToc } from './toc.ts';

/**
 * More entries than a rehearsed pull has: V8 compiles code for good when it has run for long. After 3,000 entries, the trees of 25,000
 * took 650 ms of processor time; after 6,000 more of these, 450; after 12,000 more, 340; and 160 in the end.
 */
const rounds = 4;
const entriesPerRound = 1500;
const lane = 'rehearsal';
/** Of zstd: nobody keeps what is packed here. */
const fastLevel = 1;

/**
 * Builds trees, of TOCs and of packed ones, and EROFS images in `directory`, which exists, on the builder's thread. Throws the
 * signal's reason.
 */
export async function rehearseTrees(
  builder: LayerBuilder,
  { opaqueXattr, treeMemoryBytes }: Pick<LayerConfig, 'opaqueXattr' | 'treeMemoryBytes'>,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const trees = createTreeMemory(treeMemoryBytes);
  for (let round = 0; round < rounds; round++) {
    signal.throwIfAborted();
    const memory = trees.open();
    try {
      const { toc, footer } = makeRehearsedToc(round, entriesPerRound);
      const { tree, tocDigest } = await builder.build({ toc, footer, opaqueXattr, memory }, lane);
      signal.throwIfAborted();
      const packed = packTree(tree, tocDigest, footer.payloadEnd, fastLevel);
      if (packed !== undefined) {
        const section = wrapPackedToc(packed, footer.compression);
        await builder.build({ toc: section, footer, opaqueXattr, memory }, lane);
      }
      signal.throwIfAborted();
      await builder.writeImage(directory, tree.table, plainView, lane);
    } finally {
      memory.close();
    }
  }
}
