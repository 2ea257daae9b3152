import { FormatError } from '../estargz/error.ts';
import type { Compression } from '../estargz/inflater.ts';
import { type ByteSource, scanTocInSteps } from '../estargz/toc.ts';
import { DIGEST_BYTES } from '../registry/digest.ts';
import { allocateInodeTable, type InodeTable } from './inode-table.ts';
import { ROOT_INODE, typeBits } from './lookup.ts';
import { isShownChunk, type MemberPlan, planMembers } from './member-plan.ts';
import { sortByName } from './name-order.ts';
import { rootNode } from './name-tree.ts';
import { type Steps, takeAtOnce } from './steps.ts';
import { DATA_SIZE_LIMIT_BYTES, kinds, TocColumns } from './toc-columns.ts';
import { isDirectoryKind, numberVisibleNodes, shownNameStart, type VisibleNodes } from './visible-nodes.ts';

export interface BuildOptions {
  /** Of the blob's footer: where its last data member ends. */
  readonly payloadEnd: number;
  /** Which overlayfs will read the opaque mark: one mounted by root (`trusted`), or with `userxattr`. */
  readonly opaqueXattr: 'trusted' | 'user';
  /** For `gzip`, chunks that no gzip member of that size could hold are refused here rather than when they are read. */
  readonly compression?: Compression;
}

export type Landmark =
  /** Bytes [0, endOffset) of the blob are what the image was optimised for. */
  | { readonly kind: 'prefetch'; readonly endOffset: number }
  /** Optimised, with nothing to prefetch. */
  | { readonly kind: 'none' };

export interface BuiltTree {
  readonly table: InodeTable;
  readonly landmark: Landmark | undefined;
  /** Chunks without any digest: to be refused where verification is asked for. */
  readonly unverifiableChunkCount: number;
}

/** The whole JSON, or a source of it (TocReader). */
export type TocSource = Uint8Array | (ByteSource & { readonly sizeBytes: number });

/** Content starts on a page, so that EROFS can map it. */
const dataAlignment = 4096;
const directorySizeBytes = 4096;
/** Fewer bytes of JSON an entry than any writer spends; columns grow where it was a wrong guess. */
const smallEntryBytes = 160;

/**
 * The tree that a TOC describes, as a lazy mount shows it. Everything in the TOC is checked; what cannot be trusted is
 * refused with a FormatError that names the entry.
 */
export function buildInodeTable(json: TocSource, options: BuildOptions): BuiltTree {
  return takeAtOnce(buildInSteps(json, options));
}

/** The same in steps; the longest take some 20 ms for 100,000 entries. */
export function* buildInSteps(json: TocSource, options: BuildOptions): Steps<BuiltTree> {
  const { payloadEnd } = options;
  if (!Number.isSafeInteger(payloadEnd) || payloadEnd < 0)
    throw new RangeError(`buildInodeTable: payloadEnd ${payloadEnd}`);
  const jsonBytes = json instanceof Uint8Array ? json.length : json.sizeBytes;
  const toc = new TocColumns(Math.min(Math.ceil(jsonBytes / smallEntryBytes), 1 << 20), payloadEnd);
  yield* scanTocInSteps(json, toc.visit);
  toc.finish();
  const visible = numberVisibleNodes(toc);
  yield;
  const plan = planMembers(toc, visible, payloadEnd, options.compression);
  yield;
  const opaque = placeOpaqueMark(toc, options.opaqueXattr);
  const table = allocateInodeTable({
    inodeCount: visible.inodeCount,
    direntCount: visible.direntCount,
    xattrCount: countXattrs(toc, visible, opaque),
    chunkCount: plan.chunkCount,
    memberCount: plan.memberCount,
    poolSizeBytes: toc.tree.poolEnd,
    dataSizeBytes: sumData(toc, visible),
  });
  table.pool.set(toc.tree.pool.subarray(0, toc.tree.poolEnd));
  yield;
  fillInodes(table, toc, visible, opaque);
  yield;
  fillDirents(table, toc, visible);
  yield;
  fillMembers(table, plan);
  fillChunks(table, toc, visible, plan);
  return { table, landmark: findLandmark(toc, visible), unverifiableChunkCount: plan.unverifiableChunkCount };
}

interface OpaqueMark {
  readonly nameOffset: number;
  readonly nameLength: number;
  readonly valueOffset: number;
}

function placeOpaqueMark(toc: TocColumns, namespace: 'trusted' | 'user'): OpaqueMark {
  const name = Buffer.from(`${namespace}.overlay.opaque`);
  const nameOffset = toc.tree.append(name, 0, name.length);
  return { nameOffset, nameLength: name.length, valueOffset: toc.tree.append(Buffer.from('y'), 0, 1) };
}

/** Whether the opaque mark must be added: the directory is opaque and its TOC entry has no such attribute itself. */
function needsOpaqueMark(toc: TocColumns, visible: VisibleNodes, node: number, mark: OpaqueMark): boolean {
  if (!visible.isOpaque(node) || !visible.isDirectory(node)) return false;
  const { pool } = toc.tree;
  const name = Buffer.from(pool.buffer, mark.nameOffset, mark.nameLength);
  const first = toc.firstXattr[node]!;
  for (let row = first; row < first + toc.xattrLength[node]!; row++) {
    if (
      name.equals(pool.subarray(toc.xattrs.nameOffset[row]!, toc.xattrs.nameOffset[row]! + toc.xattrs.nameLength[row]!))
    )
      return false;
  }
  return true;
}

function countXattrs(toc: TocColumns, visible: VisibleNodes, mark: OpaqueMark): number {
  let count = 0;
  for (let node = rootNode; node <= toc.tree.nodeCount; node++) {
    if (!ownsInode(toc, visible, node) || visible.isWhiteout(node)) continue;
    count += toc.xattrLength[node]!;
    if (needsOpaqueMark(toc, visible, node, mark)) count++;
  }
  return count;
}

/** Hard links show an inode that another node describes. */
function ownsInode(toc: TocColumns, visible: VisibleNodes, node: number): boolean {
  return visible.inodeOf[node] !== 0 && (toc.kind[node] !== kinds.hardlink || visible.isWhiteout(node));
}

function sumData(toc: TocColumns, visible: VisibleNodes): number {
  let sum = 0;
  for (let node = rootNode; node <= toc.tree.nodeCount; node++) {
    if (toc.kind[node] !== kinds.reg || visible.inodeOf[node] === 0 || visible.isWhiteout(node)) continue;
    sum += align(toc.size[node]!);
    if (sum > DATA_SIZE_LIMIT_BYTES) {
      throw new FormatError('limit', `the layer's files add up to more than ${DATA_SIZE_LIMIT_BYTES} bytes`, {
        entry: toc.tree.pathOf(node),
      });
    }
  }
  return sum;
}

function align(sizeBytes: number): number {
  return Math.ceil(sizeBytes / dataAlignment) * dataAlignment;
}

function fillInodes(table: InodeTable, toc: TocColumns, visible: VisibleNodes, mark: OpaqueMark): void {
  let xattrRow = 0;
  for (let node = rootNode; node <= toc.tree.nodeCount; node++) {
    if (!ownsInode(toc, visible, node)) continue;
    const inode = visible.inodeOf[node]!;
    table.uid[inode] = toc.uid[node]!;
    table.gid[inode] = toc.gid[node]!;
    table.mtimeSec[inode] = toc.mtimeSec[node]!;
    table.mtimeNsec[inode] = toc.mtimeNsec[node]!;
    table.parent[inode] = visible.inodeOf[toc.tree.parent[node]!]!;
    table.firstXattr[inode] = xattrRow;
    // A whiteout is nothing but a mark: 0:0, without mode bits or attributes of the marker file.
    if (visible.isWhiteout(node)) {
      table.mode[inode] = typeBits.char;
      continue;
    }
    fillKind(table, toc, node, inode);
    xattrRow = copyXattrs(table, toc, node, xattrRow);
    if (needsOpaqueMark(toc, visible, node, mark)) {
      table.xattrNameOffset[xattrRow] = mark.nameOffset;
      table.xattrNameLength[xattrRow] = mark.nameLength;
      table.xattrValueOffset[xattrRow] = mark.valueOffset;
      table.xattrValueLength[xattrRow++] = 1;
    }
    table.xattrLength[inode] = xattrRow - table.firstXattr[inode]!;
  }
}

function fillKind(table: InodeTable, toc: TocColumns, node: number, inode: number): void {
  const mode = toc.mode[node]!;
  switch (toc.kind[node]) {
    case kinds.implicit:
      table.mode[inode] = typeBits.dir | 0o755;
      table.sizeBytes[inode] = directorySizeBytes;
      return;
    case kinds.dir:
      table.mode[inode] = typeBits.dir | mode;
      table.sizeBytes[inode] = directorySizeBytes;
      return;
    case kinds.reg:
      table.mode[inode] = typeBits.reg | mode;
      table.sizeBytes[inode] = toc.size[node]!;
      return;
    case kinds.symlink:
      // Linux has no other mode for them, whatever the archive says.
      table.mode[inode] = typeBits.symlink | 0o777;
      table.sizeBytes[inode] = toc.valueLength[node]!;
      table.targetOffset[inode] = toc.value[node]!;
      table.targetLength[inode] = toc.valueLength[node]!;
      return;
    case kinds.char:
      table.mode[inode] = typeBits.char | mode;
      table.rdev[inode] = toc.value[node]!;
      return;
    case kinds.block:
      table.mode[inode] = typeBits.block | mode;
      table.rdev[inode] = toc.value[node]!;
      return;
    case kinds.fifo:
      table.mode[inode] = typeBits.fifo | mode;
      return;
  }
}

function copyXattrs(table: InodeTable, toc: TocColumns, node: number, firstRow: number): number {
  const first = toc.firstXattr[node]!;
  const count = toc.xattrLength[node]!;
  for (let index = 0; index < count; index++) {
    table.xattrNameOffset[firstRow + index] = toc.xattrs.nameOffset[first + index]!;
    table.xattrNameLength[firstRow + index] = toc.xattrs.nameLength[first + index]!;
    table.xattrValueOffset[firstRow + index] = toc.xattrs.valueOffset[first + index]!;
    table.xattrValueLength[firstRow + index] = toc.xattrs.valueLength[first + index]!;
  }
  return firstRow + count;
}

function fillDirents(table: InodeTable, toc: TocColumns, visible: VisibleNodes): void {
  const { inodeOf } = visible;
  const { tree } = toc;
  for (let node = rootNode + 1; node <= tree.nodeCount; node++) {
    if (inodeOf[node] !== 0) table.direntLength[inodeOf[tree.parent[node]!]!]!++;
  }
  const next = new Uint32Array(table.inodeCount + 1);
  let row = 0;
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    if (table.direntLength[inode] === 0) continue;
    table.firstDirent[inode] = row;
    next[inode] = row;
    row += table.direntLength[inode]!;
  }
  // The inode column holds nodes until each directory is sorted.
  const nodes = table.direntInode;
  for (let node = rootNode + 1; node <= tree.nodeCount; node++) {
    if (inodeOf[node] !== 0) nodes[next[inodeOf[tree.parent[node]!]!]!++] = node;
  }
  const nameStart = (node: number): number => shownNameStart(toc, visible, node);
  const nameEnd = (node: number): number => tree.nameOffset[node]! + tree.nameLength[node]!;
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    const first = table.firstDirent[inode]!;
    sortByName(nodes.subarray(first, first + table.direntLength[inode]!), tree.pool, nameStart, nameEnd);
  }
  for (let index = 0; index < table.direntCount; index++) {
    const node = nodes[index]!;
    const start = nameStart(node);
    table.direntNameOffset[index] = start;
    table.direntNameLength[index] = nameEnd(node) - start;
    nodes[index] = inodeOf[node]!;
  }
  countLinks(table, toc, visible);
}

/** A directory's links: its name, its own `.`, and `..` of each directory in it. */
function countLinks(table: InodeTable, toc: TocColumns, visible: VisibleNodes): void {
  const { nlink } = table;
  nlink[ROOT_INODE] = 2;
  for (let node = rootNode + 1; node <= toc.tree.nodeCount; node++) {
    const inode = visible.inodeOf[node]!;
    if (inode === 0) continue;
    if (visible.isWhiteout(node) || !isDirectoryKind(toc.kind[node]!)) nlink[inode]!++;
    else {
      nlink[inode]! += 2;
      nlink[visible.inodeOf[toc.tree.parent[node]!]!]!++;
    }
  }
}

function fillMembers(table: InodeTable, plan: MemberPlan): void {
  for (let boundary = 0; boundary + 1 < plan.boundaries.length; boundary++) {
    const row = plan.memberRow[boundary]!;
    if (row === 0) continue;
    table.memberOffset[row - 1] = plan.boundaries[boundary]!;
    table.memberEnd[row - 1] = plan.boundaries[boundary + 1]!;
  }
}

function fillChunks(table: InodeTable, toc: TocColumns, visible: VisibleNodes, plan: MemberPlan): void {
  let next = 0;
  let fileOffset = 0;
  let chunkOffset = 0;
  let fileEnd = 0;
  for (let row = 0; row < toc.chunkCount; row++) {
    if (!isShownChunk(toc, visible, row)) continue;
    const node = toc.chunkNode[row]!;
    const inode = visible.inodeOf[node]!;
    if (row === toc.value[node]) {
      fileOffset = fileEnd;
      fileEnd += align(toc.size[node]!);
      chunkOffset = fileOffset;
      table.dataOffset[inode] = fileOffset;
      table.firstChunk[inode] = next;
      table.chunkLength[inode] = toc.valueLength[node]!;
    }
    table.chunkDataOffset[next] = chunkOffset;
    table.chunkSizeBytes[next] = toc.chunkSize[row]!;
    table.chunkInode[next] = inode;
    table.chunkMember[next] = plan.memberRow[plan.boundaryOf(toc.chunkOffset[row]!)]! - 1;
    table.chunkInnerOffset[next] = toc.chunkInner[row]!;
    table.chunkHasDigest[next] = toc.chunkHasDigest[row]!;
    for (let at = 0; at < DIGEST_BYTES; at++)
      table.chunkDigest[next * DIGEST_BYTES + at] = toc.chunkDigest[row * DIGEST_BYTES + at]!;
    chunkOffset += toc.chunkSize[row]!;
    next++;
  }
}

function findLandmark(toc: TocColumns, visible: VisibleNodes): Landmark | undefined {
  const node = visible.prefetchLandmark;
  if (node !== 0 && toc.kind[node] === kinds.reg && toc.valueLength[node]! > 0) {
    return { kind: 'prefetch', endOffset: toc.chunkOffset[toc.value[node]!]! };
  }
  return visible.noPrefetchLandmark === 0 ? undefined : { kind: 'none' };
}
