import type { Bench } from 'tinybench';
import { scanToc } from '../estargz/testing/whole-toc.ts';
import { digestOf } from '../registry/digest.ts';
import { buildInodeTable } from './build.ts';
import { findChild, findPath } from './lookup.ts';

/** TOC parsing and inode look-up, on a TOC indented as the reference writes it. */
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

const filesPerDirectory = 11;

export function generateToc(entryCount: number): Buffer {
  const entries: object[] = [];
  let offset = 1000;
  for (let directory = 0; entries.length < entryCount; directory++) {
    entries.push({ name: `${directoryName(directory)}/`, type: 'dir', modtime: '2023-01-29T14:05:11Z', mode: 0o755 });
    for (let file = 0; file < filesPerDirectory && entries.length < entryCount; file++) {
      const size = 500 + (((directory * 131 + file) * 7919) % 60_000);
      const digest = digestOf(`${directory}/${file}`);
      const name = `${directoryName(directory)}/${fileName(file)}`;
      entries.push({
        name,
        type: 'reg',
        size,
        modtime: '2023-01-29T14:05:11Z',
        mode: 0o644,
        offset,
        digest,
        chunkDigest: digest,
      });
      offset += 300 + (size >> 2);
    }
  }
  return Buffer.from(JSON.stringify({ version: 1, entries }, null, '\t'));
}

function directoryName(index: number): string {
  return `usr/lib/python3/dist-packages/package_${index % 97}/module_${index}`;
}

function fileName(index: number): string {
  return `file_number_${index}.cpython-311.pyc`;
}
