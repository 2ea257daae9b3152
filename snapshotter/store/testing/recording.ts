import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { InodeTable } from '../../tree/inode-table.ts';
import { buildTestTable, type TestFileLayout } from './table.ts';

/** A workload's first reads of its image's content, as `npm run record:reads` writes it. */
export interface Recording {
  readonly about: string;
  /** Members of each layer in blob order. A run of files of one directory: [directory, compressed sizes of each file...]. */
  readonly layers: readonly (readonly (readonly [directory: number, ...files: (number | readonly number[])[]])[])[];
  /**
   * Members [member, member + more] of a layer were read `thinkMs` after read number `after` was answered (-1: the start).
   * Each member occurs once: from then on the kernel has it.
   */
  readonly reads: readonly (readonly [layer: number, member: number, more: number, after: number, thinkMs: number])[];
  /** Of programs, libraries and scripts that were read, by their first members: the first members of the files that they name. */
  readonly needed: readonly (readonly [
    layer: number,
    member: number,
    libraries: readonly (readonly [layer: number, member: number])[],
  ])[];
  /** The container was ready this long after that read was answered. */
  readonly ready: readonly [after: number, thinkMs: number];
}

export const recordedWorkloads = ['python', 'gcc', 'postgres', 'tomcat', 'numpy'] as const;

export function readRecording(name: (typeof recordedWorkloads)[number]): Recording {
  const bytes = readFileSync(new URL(`./recordings/${name}.json.gz`, import.meta.url));
  return JSON.parse(gunzipSync(bytes).toString());
}

/** The table of a recorded layer: members back to back, directories told apart. */
export function recordedTable(layer: Recording['layers'][number]): InodeTable {
  const files: TestFileLayout[] = [];
  const directories: number[] = [];
  let offset = 0;
  for (const [directory, ...sizes] of layer) {
    for (const size of sizes) {
      const members = [size].flat().map((bytes) => {
        const member = { offset, end: offset + bytes, sizeBytes: bytes };
        offset += bytes;
        return member;
      });
      files.push({ members });
      directories.push(directory);
    }
  }
  const table = buildTestTable(files, false);
  directories.forEach((directory, at) => {
    // Directories have no rows of their own here; numbers beyond the files' are as good to tell them apart.
    table.parent[at + 2] = files.length + 2 + directory;
  });
  return table;
}

/** All of a recorded layer by one reader, directory by directory, whose order of files is not the blob's: tar in a mount. */
export function readingOfWholeTree(layer: Recording['layers'][number], thinkMs = 0.05): Recording {
  const table = recordedTable(layer);
  // Fibonacci hashing: scatters neighbours, the same way every time.
  const scatter = (value: number): number => Math.imul(value, 0x9e3779b1) >>> 0;
  const directoryOf = (member: number): number => table.parent[table.chunkInode[member]!]!;
  const order = Array.from({ length: table.memberCount }, (_, member) => member).sort(
    (a, b) => scatter(directoryOf(a)) - scatter(directoryOf(b)) || scatter(a) - scatter(b),
  );
  return readingOf(layer, order, thinkMs);
}

/** A file of `memberCount` members from its start to its end. */
export function readingOfLargeFile(memberCount: number, memberBytes: number, thinkMs: number): Recording {
  const members = Array.from({ length: memberCount }, (_, member) => member);
  return readingOf([[0, members.map(() => memberBytes)]], members, thinkMs);
}

function readingOf(layer: Recording['layers'][number], order: readonly number[], thinkMs: number): Recording {
  const reads = order.map((member, read) => [0, member, 0, read - 1, thinkMs] as const);
  return { about: 'synthetic', layers: [layer], reads, needed: [], ready: [reads.length - 1, 0] };
}
