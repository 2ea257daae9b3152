import type { Bench } from 'tinybench';
import { buildInodeTable } from '../tree/build.ts';
import { generateToc } from '../bench/large-toc.ts';
import { encodeErofsImage } from './image.ts';

/** Inode table to EROFS image, in memory. */
export function register(bench: Bench): void {
  for (const entryCount of [10_000, 100_000]) {
    const { table } = buildInodeTable(generateToc(entryCount), { payloadEnd: 2 ** 40, opaqueXattr: 'trusted' });
    bench.add(`EROFS image, ${entryCount / 1000}k entries`, () => {
      for (const piece of encodeErofsImage(table)) if (piece.length === 0) throw new RangeError('an empty piece');
    });
  }
}
