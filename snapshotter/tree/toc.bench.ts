import type { Bench } from 'tinybench';
import { directoryName, fileName, generateToc } from '../bench/large-toc.ts';
import { scanToc } from '../estargz/testing/whole-toc.ts';
import { buildInodeTable } from './build.ts';
import { findChild, findPath } from './lookup.ts';

/** TOC parsing and inode look-up, on a TOC indented like the reference's. */
export function register(bench: Bench): void {
  for (const entryCount of [10_000, 100_000]) {
    const json = generateToc(entryCount);
    const label = `${entryCount / 1000}k entries, ${(json.length / 1e6).toFixed(1)} MB`;
    bench.add(`TOC scan, ${label}`, () => scanToc(json, () => {}));
    bench.add(
      `TOC to inode table, ${label}`,
      () => void buildInodeTable(json, { payloadEnd: 2 ** 40, opaqueXattr: 'trusted' }),
    );
  }
  const { table } = buildInodeTable(generateToc(100_000), { payloadEnd: 2 ** 40, opaqueXattr: 'trusted' });
  const directories = Array.from({ length: 64 }, (_, index) => findPath(table, directoryName(index * 100)));
  const name = Buffer.from(fileName(5));
  let turn = 0;
  bench.add('inode look-up of a name in a directory of 11, 100k entries', () =>
    findChild(table, directories[turn++ & 63]!, name),
  );
  bench.add('inode look-up of a path of 6 names, 100k entries', () =>
    findPath(table, `${directoryName(100 * (turn++ & 63))}/${fileName(7)}`),
  );
}
