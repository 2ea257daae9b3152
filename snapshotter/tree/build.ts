import { FormatError } from '../estargz/error.ts';
import type { Compression } from '../estargz/inflater.ts';
import { type ByteSource, scanTocInSteps } from '../estargz/toc.ts';
import { DIGEST_BYTES } from '../registry/digest.ts';
import { DATA_SIZE_LIMIT_BYTES } from './chunk-columns.ts';
import { allocateInodeTable, type InodeTable, type InodeTableCounts, inodeTableSizeBytes } from './inode-table.ts';
import { isDirectoryKind, kinds, objectFlags } from './kinds.ts';
import { ROOT_INODE, typeBits } from './lookup.ts';
import { type MemberPlan, planMembers } from './member-plan.ts';
import { type MemoryAccount, unlimitedMemory, WorkingMemory } from './memory.ts';
import { sortByName } from './name-order.ts';
import { rootNode } from './name-tree.ts';
import { rootObject } from './object-columns.ts';
import { type Steps, takeAtOnce } from './steps.ts';
import { TocReplay } from './toc-replay.ts';
import { hasData, numberVisibleNodes, type VisibleNodes } from './visible-nodes.ts';

export interface BuildOptions {
  /** Of the blob's footer: the end of the last data member. */
  readonly payloadEnd: number;
  /** The xattr namespace of the overlay above: `user` with the mount option `userxattr`. */
  readonly opaqueXattr: 'trusted' | 'user';
  /** Lets chunks be refused that no member of that size can hold. */
  readonly compression?: Compression;
  /** The layer is its image's lowest: see `BuiltTree.hasMarks`. */
  readonly isLowest?: boolean;
  /** Charged for the build, and for the table, which the caller gives back with it. */
  readonly memory?: MemoryAccount;
}

export type Landmark =
  /** Bytes [0, endOffset) of the blob are to be prefetched. */
  | { readonly kind: 'prefetch'; readonly endOffset: number }
  /** Nothing is to be prefetched. */
  | { readonly kind: 'none' };

export interface BuiltTree {
  readonly table: InodeTable;
  readonly landmark: Landmark | undefined;
  /** Chunks without a digest: to be refused where verification is required. */
  readonly unverifiableChunkCount: number;
  /** Has whiteouts or opaque markers, so that its tree is another, with the same chunks, where it is an image's lowest layer. */
  readonly hasMarks: boolean;
  /**
   * Inodes of implied directories, parents first, which inherit attributes from the layers below (inheritance.ts). Those with
   * `NAMED_SINCE` added got an entry later, and inherit extended attributes only.
   */
  readonly implied: Uint32Array;
  /** Absolute Latin-1 paths of implied directories that later entries replaced. Unpacking has looked for them below all the same. */
  readonly replaced: readonly string[];
}

/** The whole JSON, or a TocReader. */
export type TocSource = Uint8Array | (ByteSource & { readonly sizeBytes: number });

/** Larger than any inode number. */
export const NAMED_SINCE = 0x80000000;

/** Content is page-aligned for EROFS. */
const dataAlignment = 4096;
export const directorySizeBytes = 4096;
/** A lower bound of JSON bytes per entry, for the initial size of the columns. */
const smallEntryBytes = 160;

/**
 * Builds the tree of a TOC, as a lazy mount shows it. Checks everything in the TOC; throws a FormatError that names the
 * entry.
 */
export function buildInodeTable(json: TocSource, options: BuildOptions): BuiltTree {
  return takeAtOnce(buildInSteps(json, options));
}

/** The same in steps, of up to 20 ms for 100,000 entries. */
export function* buildInSteps(json: TocSource, options: BuildOptions): Steps<BuiltTree> {
  const { payloadEnd, memory = unlimitedMemory } = options;
  if (!Number.isSafeInteger(payloadEnd) || payloadEnd < 0)
    throw new RangeError(`buildInodeTable: payloadEnd ${payloadEnd}`);
  const working = new WorkingMemory(memory);
  let replay: TocReplay | undefined;
  try {
    const jsonBytes = json instanceof Uint8Array ? json.length : json.sizeBytes;
    const expectedEntries = Math.min(Math.ceil(jsonBytes / smallEntryBytes), 1 << 20);
    replay = new TocReplay(expectedEntries, options, working);
    return yield* replayAndBuild(json, options, replay);
  } finally {
    replay?.free();
    working.giveAll();
  }
}

function* replayAndBuild(json: TocSource, options: BuildOptions, replay: TocReplay): Steps<BuiltTree> {
  const { payloadEnd, compression, opaqueXattr, memory = unlimitedMemory } = options;
  yield* scanTocInSteps(json, replay.visit);
  replay.finish();
  const visible = numberVisibleNodes(replay);
  yield;
  const plan = planMembers(replay, payloadEnd, compression);
  yield;
  const opaque = placeOpaqueMark(replay, opaqueXattr);
  const counts: InodeTableCounts = {
    inodeCount: visible.inodeCount,
    direntCount: visible.direntCount,
    xattrCount: countXattrs(replay, visible),
    chunkCount: plan.chunkCount,
    memberCount: plan.memberCount,
    poolSizeBytes: replay.tree.poolEnd,
    dataSizeBytes: sumData(replay),
  };
  memory.take(inodeTableSizeBytes(counts));
  const table = allocateInodeTable(counts);
  table.pool.set(replay.tree.pool.subarray(0, replay.tree.poolEnd));
  yield;
  fillInodes(table, replay, visible, opaque);
  yield;
  fillDirents(table, replay, visible);
  yield;
  fillMembers(table, plan);
  fillChunks(table, replay, visible, plan);
  const { hasMarks } = replay;
  const implied = listImplied(replay, visible);
  const replaced = listReplaced(replay, visible);
  return {
    table,
    landmark: findLandmark(replay),
    unverifiableChunkCount: plan.unverifiableChunkCount,
    hasMarks,
    implied,
    replaced,
  };
}

interface OpaqueMark {
  readonly nameOffset: number;
  readonly nameLength: number;
  readonly valueOffset: number;
}

function placeOpaqueMark({ tree }: TocReplay, namespace: 'trusted' | 'user'): OpaqueMark {
  const name = Buffer.from(`${namespace}.overlay.opaque`);
  const nameOffset = tree.append(name, 0, name.length);
  return { nameOffset, nameLength: name.length, valueOffset: tree.append(Buffer.from('y'), 0, 1) };
}

function isOpaque({ objects }: TocReplay, object: number): boolean {
  return objects.hasFlag(object, objectFlags.opaque) && objects.isDirectory(object);
}

function countXattrs(replay: TocReplay, visible: VisibleNodes): number {
  const { objects } = replay;
  let count = 0;
  for (let object = rootObject; object <= objects.count; object++) {
    if (visible.inodeOfObject[object] === 0 || objects.kind[object] === kinds.whiteout) continue;
    count += objects.xattrLength[object]! + Number(isOpaque(replay, object));
  }
  return count;
}

function sumData(replay: TocReplay): number {
  const { objects, tree } = replay;
  let sum = 0;
  for (let object = rootObject; object <= objects.count; object++) {
    if (!hasData(replay, object)) continue;
    sum += alignData(objects.size[object]!);
    if (sum > DATA_SIZE_LIMIT_BYTES) {
      throw new FormatError('limit', `the layer's files add up to more than ${DATA_SIZE_LIMIT_BYTES} bytes`, {
        entry: tree.pathOf(objects.node[object]!),
      });
    }
  }
  return sum;
}

export function alignData(sizeBytes: number): number {
  return Math.ceil(sizeBytes / dataAlignment) * dataAlignment;
}

function fillInodes(table: InodeTable, replay: TocReplay, visible: VisibleNodes, mark: OpaqueMark): void {
  const { objects, tree, names } = replay;
  let xattrRow = 0;
  for (let node = rootNode; node <= tree.nodeCount; node++) {
    const inode = visible.inodeOf[node]!;
    // A file's first name fills its row.
    if (inode === 0 || table.parent[inode] !== 0) continue;
    const object = names.objectAt[node]!;
    table.uid[inode] = objects.uid[object]!;
    table.gid[inode] = objects.gid[object]!;
    table.mtimeSec[inode] = objects.mtimeSec[object]!;
    table.mtimeNsec[inode] = objects.mtimeNsec[object]!;
    table.parent[inode] = visible.inodeOf[tree.parent[node]!]!;
    table.firstXattr[inode] = xattrRow;
    fillKind(table, replay, object, inode);
    if (objects.kind[object] === kinds.whiteout) continue;
    xattrRow = copyXattrs(table, replay, object, xattrRow);
    if (isOpaque(replay, object)) {
      table.xattrNameOffset[xattrRow] = mark.nameOffset;
      table.xattrNameLength[xattrRow] = mark.nameLength;
      table.xattrValueOffset[xattrRow] = mark.valueOffset;
      table.xattrValueLength[xattrRow++] = 1;
    }
    table.xattrLength[inode] = xattrRow - table.firstXattr[inode]!;
  }
}

function fillKind(table: InodeTable, { objects }: TocReplay, object: number, inode: number): void {
  const mode = objects.mode[object]!;
  switch (objects.kind[object]) {
    case kinds.implicit:
    case kinds.dir:
      table.mode[inode] = typeBits.dir | mode;
      table.sizeBytes[inode] = directorySizeBytes;
      return;
    case kinds.reg:
      table.mode[inode] = typeBits.reg | mode;
      table.sizeBytes[inode] = objects.size[object]!;
      return;
    case kinds.symlink:
      // The only mode of symbolic links on Linux.
      table.mode[inode] = typeBits.symlink | 0o777;
      table.sizeBytes[inode] = objects.valueLength[object]!;
      table.targetOffset[inode] = objects.value[object]!;
      table.targetLength[inode] = objects.valueLength[object]!;
      return;
    case kinds.char:
      table.mode[inode] = typeBits.char | mode;
      table.rdev[inode] = objects.value[object]!;
      return;
    case kinds.block:
      table.mode[inode] = typeBits.block | mode;
      table.rdev[inode] = objects.value[object]!;
      return;
    case kinds.fifo:
      table.mode[inode] = typeBits.fifo | mode;
      return;
    case kinds.whiteout:
      // A device 0:0 without mode bits.
      table.mode[inode] = typeBits.char;
      return;
  }
}

function copyXattrs(table: InodeTable, { objects }: TocReplay, object: number, firstRow: number): number {
  const { xattrs } = objects;
  const first = objects.firstXattr[object]!;
  const count = objects.xattrLength[object]!;
  for (let index = 0; index < count; index++) {
    table.xattrNameOffset[firstRow + index] = xattrs.nameOffset[first + index]!;
    table.xattrNameLength[firstRow + index] = xattrs.nameLength[first + index]!;
    table.xattrValueOffset[firstRow + index] = xattrs.valueOffset[first + index]!;
    table.xattrValueLength[firstRow + index] = xattrs.valueLength[first + index]!;
  }
  return firstRow + count;
}

function fillDirents(table: InodeTable, replay: TocReplay, visible: VisibleNodes): void {
  const { inodeOf } = visible;
  const { tree } = replay;
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
  // The column holds nodes until the directories are sorted.
  const nodes = table.direntInode;
  for (let node = rootNode + 1; node <= tree.nodeCount; node++) {
    if (inodeOf[node] !== 0) nodes[next[inodeOf[tree.parent[node]!]!]!++] = node;
  }
  const nameStart = (node: number): number => tree.nameOffset[node]!;
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
  countLinks(table, replay, visible);
}

/** Links to a directory: its name, its `.`, and the `..` of each subdirectory. */
function countLinks(table: InodeTable, { tree, names, objects }: TocReplay, visible: VisibleNodes): void {
  const { nlink } = table;
  nlink[ROOT_INODE] = 2;
  for (let node = rootNode + 1; node <= tree.nodeCount; node++) {
    const inode = visible.inodeOf[node]!;
    if (inode === 0) continue;
    if (!isDirectoryKind(objects.kind[names.objectAt[node]!]!)) nlink[inode]!++;
    else {
      nlink[inode]! += 2;
      nlink[visible.inodeOf[tree.parent[node]!]!]!++;
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

function fillChunks(table: InodeTable, replay: TocReplay, visible: VisibleNodes, plan: MemberPlan): void {
  const { chunks, objects } = replay;
  let next = 0;
  let fileOffset = 0;
  let chunkOffset = 0;
  let fileEnd = 0;
  for (let row = 0; row < chunks.chunkCount; row++) {
    const object = chunks.chunkObject[row]!;
    if (!hasData(replay, object)) continue;
    const inode = visible.inodeOfObject[object]!;
    if (row === objects.value[object]) {
      fileOffset = fileEnd;
      fileEnd += alignData(objects.size[object]!);
      chunkOffset = fileOffset;
      if (inode !== 0) {
        table.dataOffset[inode] = fileOffset;
        table.firstChunk[inode] = next;
        table.chunkLength[inode] = objects.valueLength[object]!;
      }
    }
    table.chunkDataOffset[next] = chunkOffset;
    table.chunkSizeBytes[next] = chunks.chunkSize[row]!;
    table.chunkInode[next] = inode;
    table.chunkMember[next] = plan.memberRow[plan.boundaryOf(chunks.chunkOffset[row]!)]! - 1;
    table.chunkInnerOffset[next] = chunks.chunkInner[row]!;
    table.chunkHasDigest[next] = chunks.chunkHasDigest[row]!;
    for (let at = 0; at < DIGEST_BYTES; at++)
      table.chunkDigest[next * DIGEST_BYTES + at] = chunks.chunkDigest[row * DIGEST_BYTES + at]!;
    chunkOffset += chunks.chunkSize[row]!;
    next++;
  }
}

function findLandmark({ objects, chunks, prefetchLandmark, hasNoPrefetchLandmark }: TocReplay): Landmark | undefined {
  if (prefetchLandmark !== 0 && objects.valueLength[prefetchLandmark]! > 0)
    return { kind: 'prefetch', endOffset: chunks.chunkOffset[objects.value[prefetchLandmark]!]! };
  return hasNoPrefetchLandmark ? { kind: 'none' } : undefined;
}

/** Implied directories that are still visible. */
function listImplied({ implied, objects }: TocReplay, visible: VisibleNodes): Uint32Array {
  const inodes = implied.flatMap((object) => {
    const inode = visible.inodeOfObject[object]!;
    if (inode === 0 || !objects.hasFlag(object, objectFlags.inherits)) return [];
    return objects.kind[object] === kinds.implicit ? inode : inode + NAMED_SINCE;
  });
  return Uint32Array.from(inodes);
}

const replacedLimit = 4096;

function listReplaced({ implied, objects, tree }: TocReplay, visible: VisibleNodes): string[] {
  const gone = implied.filter(
    (object) => visible.inodeOfObject[object] === 0 && objects.hasFlag(object, objectFlags.inherits),
  );
  if (gone.length > replacedLimit)
    throw new FormatError('limit', `${gone.length} directories without entries were replaced (limit ${replacedLimit})`);
  return gone.map((object) => `/${tree.pathOf(objects.node[object]!, 'latin1')}`);
}
