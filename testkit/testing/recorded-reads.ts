import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { findNamedFile, readFileNames } from '../../snapshotter/layers/file-names.ts';
import { buildLayer } from '../../snapshotter/builder/built-layer.ts';
import { type Digest, digestHex } from '../../snapshotter/registry/digest.ts';
import { readLayerDirectory } from '../../snapshotter/store/layer-directory.ts';
import { chunksOf, firstMemberFrom, indexMembers } from '../../snapshotter/store/member-index.ts';
import type { Recording } from '../../snapshotter/store/testing/recording.ts';
import type { InodeTable } from '../../snapshotter/tree/inode-table.ts';
import { pathOf } from '../../snapshotter/tree/lookup.ts';

export type { Recording };

/** A line of the daemon's trace that says what was missed or what has arrived. */
interface TraceLine {
  readonly atMs: number;
  readonly msg: 'content missed' | 'content fetched';
  readonly layer: string;
  readonly range: string;
}

interface LayerLayout {
  readonly table: InodeTable;
  readonly layout: Recording['layers'][number];
}

export interface RecordedRun {
  readonly logPath: string;
  readonly layersRoot: string;
  readonly about: string;
  readonly startMs: number;
  readonly readyMs: number;
}

/**
 * The recording of a run, from the trace of a daemon that fetched one member at a time from a registry without a delay.
 * A read is taken to follow the read that was answered last before it began: with one reader that is the previous one, and readers at
 * the same time keep their own order as far as it can be seen.
 */
export async function recordingOf(run: RecordedRun): Promise<Recording> {
  const { logPath, layersRoot, about, startMs, readyMs } = run;
  const lines = parseTrace(readFileSync(logPath, 'utf8')).filter(({ atMs }) => atMs >= startMs && atMs <= readyMs);
  const layers = await readLayouts(layersRoot);
  const used = [...layers.keys()].filter((digest) => lines.some(({ layer }) => digest.startsWith(layer)));
  const reads: Recording['reads'][number][] = [];
  const arrivals: { readonly atMs: number; readonly read: number }[] = [];
  const readOfRange = new Map<string, number>();
  /** -1: the start. */
  const lastBefore = (): { atMs: number; read: number } => arrivals.at(-1) ?? { atMs: startMs, read: -1 };
  for (const { msg, layer, range, atMs } of lines) {
    const key = `${layer} ${range}`;
    if (msg === 'content fetched') {
      const read = readOfRange.get(key);
      if (read !== undefined) arrivals.push({ atMs, read });
      continue;
    }
    const at = used.findIndex((digest) => digest.startsWith(layer));
    const { table } = layers.get(used[at]!)!;
    const [begin, end] = range.split('-').map(Number) as [number, number];
    const before = lastBefore();
    readOfRange.set(key, reads.length);
    const first = firstMemberFrom(table, begin);
    reads.push([at, first, firstMemberFrom(table, end) - 1 - first, before.read, Math.round(atMs - before.atMs)]);
  }
  const last = lastBefore();
  const tables = used.map((digest) => layers.get(digest)!.table);
  return {
    about,
    needed: tables.flatMap((_, at) => namedBy(at, tables, reads, join(layersRoot, digestHex(used[at]!), 'data'))),
    layers: used.map((digest) => layers.get(digest)!.layout),
    reads,
    ready: [last.read, Math.round(readyMs - last.atMs)],
  };
}

/** How long the programs would have taken with all content present. */
export function workMs({ reads, ready }: Recording): number {
  const answeredMs: number[] = [];
  for (const [, , , after, thinkMs] of reads) answeredMs.push((answeredMs[after] ?? 0) + thinkMs);
  return (answeredMs[ready[0]] ?? 0) + ready[1];
}

/** What the files of a layer that were read name. */
function namedBy(
  at: number,
  tables: readonly InodeTable[],
  reads: Recording['reads'],
  dataPath: string,
): Recording['needed'][number][] {
  const table = tables[at]!;
  const fd = openSync(dataPath, 'r');
  const needed: Recording['needed'][number][] = [];
  const inodes = new Set(reads.filter(([layer]) => layer === at).map(([, member]) => inodeOfMember(table, member)));
  for (const inode of inodes) {
    const found = readFileNames((offset, sizeBytes) => {
      const bytes = Buffer.alloc(Math.max(0, Math.min(sizeBytes, table.sizeBytes[inode]! - offset)));
      readSync(fd, bytes, 0, bytes.length, table.dataOffset[inode]! + offset);
      return bytes;
    });
    if (!('names' in found)) continue;
    const directory = pathOf(table, table.parent[inode]!);
    const files = found.names.flatMap((name) => findNamedFile(tables, name, found.kind, directory) ?? []);
    const members = files
      .filter(({ layer, inode }) => tables[layer]!.chunkLength[inode]! > 0)
      .map(({ layer, inode }) => [layer, firstMemberOf(tables[layer]!, inode)] as const);
    if (members.length > 0) needed.push([at, firstMemberOf(table, inode), members]);
  }
  closeSync(fd);
  return needed;
}

function firstMemberOf(table: InodeTable, inode: number): number {
  return table.chunkMember[table.firstChunk[inode]!]!;
}

function inodeOfMember(table: InodeTable, member: number): number {
  return table.chunkInode[table.chunkMember.indexOf(member)]!;
}

function parseTrace(log: string): TraceLine[] {
  return log
    .split('\n')
    .filter((line) => line.includes('"msg":"content '))
    .map((line) => {
      const { time, msg, layer, range } = JSON.parse(line);
      return { atMs: Date.parse(time), msg, layer, range };
    });
}

async function readLayouts(layersRoot: string): Promise<Map<Digest, LayerLayout>> {
  const layouts = new Map<Digest, LayerLayout>();
  for (const name of readdirSync(layersRoot).filter((entry) => /^[0-9a-f]{64}$/.test(entry))) {
    const digest = `sha256:${name}` as Digest;
    const { meta, toc } = readLayerDirectory(layersRoot, digest);
    const { tree } = await buildLayer(toc, meta.footer, {
      opaqueXattr: 'trusted.overlay.opaque',
      isLowest: false,
    } as never);
    layouts.set(digest, { table: tree.table, layout: layoutOf(tree.table) });
  }
  return layouts;
}

/** A run of files of one directory is [number of the directory, sizes of the first file's members, ...]. */
function layoutOf(table: InodeTable): Recording['layers'][number] {
  const index = indexMembers(table, 'recording');
  const numbers = new Map<number, number>();
  const runs: [directory: number, ...files: (number | number[])[]][] = [];
  for (let member = 0; member < table.memberCount; ) {
    const inode = table.chunkInode[chunksOf(index, member)[0]!]!;
    const parent = table.parent[inode]!;
    const directory = numbers.get(parent) ?? numbers.size;
    numbers.set(parent, directory);
    const sizes: number[] = [];
    for (; member < table.memberCount && table.chunkInode[chunksOf(index, member)[0]!]! === inode; member++) {
      sizes.push(table.memberEnd[member]! - table.memberOffset[member]!);
    }
    if (runs.at(-1)?.[0] !== directory) runs.push([directory]);
    runs.at(-1)!.push(sizes.length === 1 ? sizes[0]! : sizes);
  }
  return runs;
}
