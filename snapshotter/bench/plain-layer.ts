import {
  closeSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { allocatePresence, markPresent } from '../store/presence.ts';
import { allocateInodeTable, type InodeTable } from '../tree/inode-table.ts';

/** An entry of a layer made by hand. Parents must be listed; '' is the root. */
export interface Entry {
  readonly path: string;
  /** st_mode with the type bits. */
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeSec?: number;
  readonly mtimeNsec?: number;
  readonly rdev?: number;
  readonly target?: string;
  readonly content?: Buffer | { readonly path: string; readonly sizeBytes: number };
  readonly xattrs?: Readonly<Record<string, Buffer>>;
  /** Another name of the file at this path. */
  readonly linkTo?: string;
}

export interface PlainLayer {
  readonly table: InodeTable;
  readonly present: SharedArrayBuffer;
  readonly bits: Int32Array;
  readonly dataFd: number;
  /** Writes the content of chunks into the data file and marks them present; all chunks unless told which. */
  fill(chunks?: Iterable<number>): void;
  inodeOf(path: string): number;
  close(): void;
}

const pageBytes = 4096;

/** A layer with its inode table and a data file at `dataPath`, of which nothing is present yet. */
export function createPlainLayer(entries: readonly Entry[], dataPath: string, chunkSizeBytes = 4 << 20): PlainLayer {
  const inodes = new Map<string, number>();
  for (const entry of entries) if (entry.linkTo === undefined) inodes.set(entry.path, inodes.size + 1);
  for (const entry of entries) if (entry.linkTo !== undefined) inodes.set(entry.path, inodes.get(entry.linkTo)!);
  const children = Map.groupBy(
    entries.filter((entry) => entry.path !== ''),
    (entry) => entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/'))),
  );
  const pool: Buffer[] = [];
  let poolBytes = 0;
  const intern = (bytes: Buffer): number => {
    pool.push(bytes);
    poolBytes += bytes.length;
    return poolBytes - bytes.length;
  };
  const links = Map.groupBy(entries, (entry) => entry.linkTo);
  const own = entries.filter((entry) => entry.linkTo === undefined);
  const chunksOf = (entry: Entry) => Math.ceil(contentBytes(entry) / chunkSizeBytes);
  const names = entries.map((entry) => Buffer.from(entry.path.slice(entry.path.lastIndexOf('/') + 1)));
  const xattrs = own.flatMap((entry) => Object.entries(entry.xattrs ?? {}));
  const chunkCount = own.reduce((sum, entry) => sum + chunksOf(entry), 0);
  const table = allocateInodeTable({
    inodeCount: own.length,
    direntCount: entries.length - 1,
    xattrCount: xattrs.length,
    chunkCount,
    memberCount: 0,
    poolSizeBytes:
      names.reduce((sum, name) => sum + name.length, 0) +
      own.reduce((sum, entry) => sum + Buffer.byteLength(entry.target ?? ''), 0) +
      xattrs.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + value.length, 0),
    dataSizeBytes: own.reduce((sum, entry) => sum + alignPage(contentBytes(entry)), 0),
  });
  const sources: Entry[] = [];
  let chunk = 0;
  let xattr = 0;
  let dataOffset = 0;
  let dirent = 0;
  for (const entry of own) {
    const inode = inodes.get(entry.path)!;
    const sizeBytes = contentBytes(entry);
    table.mode[inode] = entry.mode;
    table.uid[inode] = entry.uid ?? 0;
    table.gid[inode] = entry.gid ?? 0;
    table.rdev[inode] = entry.rdev ?? 0;
    table.mtimeSec[inode] = entry.mtimeSec ?? 0;
    table.mtimeNsec[inode] = entry.mtimeNsec ?? 0;
    table.parent[inode] = entry.path === '' ? 1 : inodes.get(parentOf(entry.path))!;
    table.nlink[inode] = 1 + (links.get(entry.path)?.length ?? 0);
    table.sizeBytes[inode] = entry.target === undefined ? sizeBytes : Buffer.byteLength(entry.target);
    table.firstXattr[inode] = xattr;
    for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
      table.xattrNameLength[xattr] = Buffer.byteLength(name);
      table.xattrNameOffset[xattr] = intern(Buffer.from(name));
      table.xattrValueLength[xattr] = value.length;
      table.xattrValueOffset[xattr++] = intern(value);
    }
    table.xattrLength[inode] = xattr - table.firstXattr[inode]!;
    if (entry.target !== undefined) {
      table.targetLength[inode] = Buffer.byteLength(entry.target);
      table.targetOffset[inode] = intern(Buffer.from(entry.target));
    }
    if (entry.mode >>> 12 === 4) {
      const below = (children.get(entry.path) ?? [])
        .map((child) => ({
          inode: inodes.get(child.path)!,
          name: Buffer.from(child.path.slice(child.path.lastIndexOf('/') + 1)),
          mode: child.mode,
        }))
        .sort((left, right) => Buffer.compare(left.name, right.name));
      table.nlink[inode] = 2 + below.filter((child) => child.mode >>> 12 === 4).length;
      table.firstDirent[inode] = dirent;
      table.direntLength[inode] = below.length;
      for (const child of below) {
        table.direntInode[dirent] = child.inode;
        table.direntNameLength[dirent] = child.name.length;
        table.direntNameOffset[dirent++] = intern(child.name);
      }
    }
    if (sizeBytes === 0 || entry.target !== undefined) continue;
    table.dataOffset[inode] = dataOffset;
    table.firstChunk[inode] = chunk;
    for (let at = 0; at < sizeBytes; at += chunkSizeBytes) {
      table.chunkInode[chunk] = inode;
      table.chunkDataOffset[chunk] = dataOffset + at;
      table.chunkSizeBytes[chunk] = Math.min(chunkSizeBytes, sizeBytes - at);
      sources[chunk++] = entry;
    }
    table.chunkLength[inode] = chunk - table.firstChunk[inode]!;
    dataOffset += alignPage(sizeBytes);
  }
  table.pool.set(Buffer.concat(pool));
  const dataFd = openSync(dataPath, 'w+');
  ftruncateSync(dataFd, table.dataSizeBytes);
  const present = allocatePresence(chunkCount);
  const bits = new Int32Array(present);
  return {
    table,
    present,
    bits,
    dataFd,
    fill(chunks = Array.from({ length: chunkCount }, (_, index) => index)) {
      for (const index of chunks) {
        const bytes = contentOf(sources[index]!);
        const start = table.chunkDataOffset[index]! - table.dataOffset[table.chunkInode[index]!]!;
        writeSync(dataFd, bytes, start, table.chunkSizeBytes[index]!, table.chunkDataOffset[index]!);
        markPresent(bits, index);
      }
    },
    inodeOf: (path) => inodes.get(path)!,
    close: () => closeSync(dataFd),
  };
}

/** The tree below a real directory, hard links found; without extended attributes, which Node cannot read. */
export function entriesOfDirectory(root: string): Entry[] {
  const entries: Entry[] = [];
  const firstNames = new Map<string, string>();
  const visit = (path: string): void => {
    const full = join(root, path);
    const stat = lstatSync(full, { bigint: true });
    const mode = Number(stat.mode);
    const known = firstNames.get(String(stat.ino));
    if (known !== undefined) {
      entries.push({ path, mode, linkTo: known });
      return;
    }
    if (mode >>> 12 !== 4 && stat.nlink > 1n) firstNames.set(String(stat.ino), path);
    entries.push({
      path,
      mode,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtimeSec: Number(stat.mtimeNs / 1_000_000_000n),
      mtimeNsec: Number(stat.mtimeNs % 1_000_000_000n),
      rdev: Number(stat.rdev),
      ...(mode >>> 12 === 10 ? { target: readlinkSync(full) } : {}),
      ...(mode >>> 12 === 8 ? { content: { path: full, sizeBytes: Number(stat.size) } } : {}),
    });
    if (mode >>> 12 === 4) for (const name of readdirSync(full)) visit(path === '' ? name : `${path}/${name}`);
  };
  visit('');
  return entries;
}

let cached: { path: string; bytes: Buffer } | undefined;

function contentOf(entry: Entry): Buffer {
  const { content } = entry;
  if (content === undefined || Buffer.isBuffer(content)) return content ?? Buffer.alloc(0);
  // Chunks of one file follow each other.
  if (cached?.path !== content.path) cached = { path: content.path, bytes: readFileSync(content.path) };
  return cached.bytes;
}

function contentBytes(entry: Entry): number {
  const { content } = entry;
  if (content === undefined) return 0;
  return Buffer.isBuffer(content) ? content.length : content.sizeBytes;
}

function alignPage(sizeBytes: number): number {
  return Math.ceil(sizeBytes / pageBytes) * pageBytes;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
