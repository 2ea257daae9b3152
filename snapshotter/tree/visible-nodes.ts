import { kinds, objectFlags } from './kinds.ts';
import { rootNode } from './name-tree.ts';
import { reservedNames, type TocReplay } from './toc-replay.ts';

/** What a mount shows of a replayed TOC. */
export interface VisibleNodes {
  /** By node: the inode, 0 if invisible. */
  readonly inodeOf: Uint32Array;
  /** By object: the inode, 0 without a visible name. */
  readonly inodeOfObject: Uint32Array;
  readonly inodeCount: number;
  /** Visible names, without the root. */
  readonly direntCount: number;
}

/** Numbers the inodes in the order of their first names in the TOC. */
export function numberVisibleNodes(replay: TocReplay): VisibleNodes {
  const { tree, names, objects } = replay;
  const shown = names.shown();
  const inodeOf = new Uint32Array(tree.nodeCount + 1);
  const inodeOfObject = new Uint32Array(objects.count + 1);
  const hidden = reservedNames.map((name) => tree.findChild(rootNode, name, 0, name.length));
  let inodeCount = 0;
  let nameCount = 0;
  for (let node = rootNode; node <= tree.nodeCount; node++) {
    if (shown[node] === 0 || hidden.includes(node) || (node !== rootNode && inodeOf[tree.parent[node]!] === 0))
      continue;
    const object = names.objectAt[node]!;
    if (inodeOfObject[object] === 0) inodeOfObject[object] = ++inodeCount;
    inodeOf[node] = inodeOfObject[object]!;
    nameCount++;
  }
  return { inodeOf, inodeOfObject, inodeCount, direntCount: nameCount - 1 };
}

/** Whether the object has a place in the data file, visible or not. */
export function hasData({ objects }: TocReplay, object: number): boolean {
  return objects.kind[object] === kinds.reg && !objects.hasFlag(object, objectFlags.withoutData);
}
