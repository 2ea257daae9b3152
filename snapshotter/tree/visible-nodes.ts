import { FormatError } from '../estargz/error.ts';
import { NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TOC_NAME } from '../estargz/names.ts';
import { type NameTree, rootNode } from './name-tree.ts';
import { kinds, type TocColumns } from './toc-columns.ts';

const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';

const hiddenFlag = 1;
const whiteoutFlag = 2;
const opaqueFlag = 4;
const visitedFlag = 8;

/** What a mount shows of a TOC: markers turned into what they mean, hard links joined to their inode. */
export interface VisibleNodes {
  /** By node: the inode, 0 where the node is not shown. */
  readonly inodeOf: Uint32Array;
  readonly inodeCount: number;
  /** Names shown, the root not counted. */
  readonly direntCount: number;
  readonly prefetchLandmark: number;
  readonly noPrefetchLandmark: number;
  isWhiteout(node: number): boolean;
  isOpaque(node: number): boolean;
  isDirectory(node: number): boolean;
}

/** Numbers the inodes in the order in which their names first come up in the TOC. */
export function numberVisibleNodes(toc: TocColumns): VisibleNodes {
  const { tree, kind } = toc;
  const nodeCount = tree.nodeCount;
  const flags = markNodes(toc);
  const inodeOf = new Uint32Array(nodeCount + 1);
  let inodeCount = 0;
  let nameCount = 0;
  for (let node = rootNode; node <= nodeCount; node++) {
    if ((flags[node]! & hiddenFlag) !== 0) continue;
    nameCount++;
    if (kind[node] !== kinds.hardlink || (flags[node]! & whiteoutFlag) !== 0) inodeOf[node] = ++inodeCount;
  }
  joinHardlinks(toc, flags, inodeOf);
  return {
    inodeOf,
    inodeCount,
    direntCount: nameCount - 1,
    prefetchLandmark: findAtRoot(tree, PREFETCH_LANDMARK),
    noPrefetchLandmark: findAtRoot(tree, NO_PREFETCH_LANDMARK),
    isWhiteout: (node) => (flags[node]! & whiteoutFlag) !== 0,
    isOpaque: (node) => (flags[node]! & opaqueFlag) !== 0,
    isDirectory: (node) => (flags[node]! & whiteoutFlag) === 0 && isDirectoryKind(kind[node]!),
  };
}

/** Parents have lower numbers than their children, so one pass is enough. */
function markNodes({ tree, kind }: TocColumns): Uint8Array {
  const flags = new Uint8Array(tree.nodeCount + 1);
  for (const name of [PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK, TOC_NAME]) {
    const node = findAtRoot(tree, name);
    if (node !== 0) flags[node] = hiddenFlag;
  }
  for (let node = rootNode + 1; node <= tree.nodeCount; node++) {
    const parent = tree.parent[node]!;
    if ((flags[parent]! & (hiddenFlag | whiteoutFlag)) !== 0) flags[node] = hiddenFlag;
    else if (!isDirectoryKind(kind[parent]!)) {
      const entry = tree.pathOf(node);
      throw new FormatError('name', `lies below ${JSON.stringify(tree.nameOf(parent))}, which is not a directory`, {
        entry,
      });
    }
    if (flags[node] === hiddenFlag || !hasWhiteoutPrefix(tree, node)) continue;
    if (tree.nameOf(node) === opaqueMarker) {
      flags[node] = hiddenFlag;
      flags[parent]! |= opaqueFlag;
      continue;
    }
    flags[node] = isOverridden(tree, node) ? hiddenFlag : whiteoutFlag;
  }
  return flags;
}

function hasWhiteoutPrefix(tree: NameTree, node: number): boolean {
  if (tree.nameLength[node]! < whiteoutPrefix.length) return false;
  const start = tree.nameOffset[node]!;
  for (let at = 0; at < whiteoutPrefix.length; at++)
    if (tree.pool[start + at] !== whiteoutPrefix.charCodeAt(at)) return false;
  return true;
}

/** A whiteout of a name that this layer has itself says nothing to the layers below that the name does not say. */
function isOverridden(tree: NameTree, node: number): boolean {
  const start = tree.nameOffset[node]! + whiteoutPrefix.length;
  const end = tree.nameOffset[node]! + tree.nameLength[node]!;
  const hidden = tree.nameOf(node).slice(whiteoutPrefix.length);
  if (hidden === '' || hidden === '.' || hidden === '..') {
    throw new FormatError('name', 'a whiteout that names nothing', { entry: tree.pathOf(node) });
  }
  const other = tree.findChild(tree.parent[node]!, tree.pool, start, end);
  return other !== 0 && !hasWhiteoutPrefix(tree, other);
}

/** Follows each chain of hard links once; links may come before what they link to. */
function joinHardlinks(toc: TocColumns, flags: Uint8Array, inodeOf: Uint32Array): void {
  const { tree, kind } = toc;
  const chain: number[] = [];
  for (let start = rootNode + 1; start <= tree.nodeCount; start++) {
    if (inodeOf[start] !== 0 || (flags[start]! & hiddenFlag) !== 0) continue;
    chain.length = 0;
    let node = start;
    while (inodeOf[node] === 0) {
      if ((flags[node]! & visitedFlag) !== 0) throw linkError(toc, start, 'is part of a loop of hard links');
      flags[node]! |= visitedFlag;
      chain.push(node);
      const target = toc.value[node]!;
      node = tree.find(tree.pool, target, target + toc.valueLength[node]!);
      if (node === 0 || (flags[node]! & (hiddenFlag | whiteoutFlag)) !== 0)
        throw linkError(toc, start, 'links to a file that is not in the layer');
    }
    if (isDirectoryKind(kind[node]!)) throw linkError(toc, start, 'is a hard link to a directory');
    for (const link of chain) inodeOf[link] = inodeOf[node]!;
  }
}

function linkError(toc: TocColumns, node: number, problem: string): FormatError {
  const target = toc.value[node]!;
  const text = Buffer.from(toc.tree.pool.buffer, target, Math.min(toc.valueLength[node]!, 200)).toString('utf8');
  return new FormatError('link', `${problem} (target ${JSON.stringify(text)})`, { entry: toc.tree.pathOf(node) });
}

function findAtRoot(tree: NameTree, name: string): number {
  const bytes = Buffer.from(name);
  return tree.findChild(rootNode, bytes, 0, bytes.length);
}

export function isDirectoryKind(kind: number): boolean {
  return kind === kinds.dir || kind === kinds.implicit;
}

/** Where a node's name starts as it is shown: whiteouts go by the name they hide. */
export function shownNameStart(toc: TocColumns, visible: VisibleNodes, node: number): number {
  return toc.tree.nameOffset[node]! + (visible.isWhiteout(node) ? whiteoutPrefix.length : 0);
}
