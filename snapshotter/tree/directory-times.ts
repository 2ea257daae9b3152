import { FormatError } from '../estargz/error.ts';
import { kinds } from './kinds.ts';
import type { NameTree } from './name-tree.ts';
import type { ObjectColumns } from './object-columns.ts';
import type { UnpackedNames } from './unpacked-names.ts';

/** A directory's entry whose time may not stay with the object that it created. */
export interface TimedEntry {
  /** The node of the name in the entry. */
  readonly node: number;
  readonly object: number;
  /** Position among directory entries; that of an entry which created an object is the object's number. */
  readonly order: number;
  readonly sec: number;
  readonly nsec: number;
}

/**
 * Unpacking sets the times of directories at the end, entry by entry, by path: also on what has replaced a directory, or on
 * the target of a link that has. Throws FormatError 'name' where nothing is at that path.
 */
export function settleDirectoryTimes(
  tree: NameTree,
  objects: ObjectColumns,
  names: UnpackedNames,
  timed: readonly TimedEntry[],
): void {
  /** Position of the last entry of each directory with several. */
  const lastOrder = new Map<number, number>();
  for (const { object, order } of timed) lastOrder.set(object, order);
  const shown = names.shown();
  const objectAt = (node: number): number => (shown[node] === 1 ? names.objectAt[node]! : 0);
  const strayed: TimedEntry[] = timed.filter(({ node, object }) => objectAt(node) !== object);
  for (let object = 2; object <= objects.count; object++) {
    const node = objects.node[object]!;
    if (objects.kind[object] !== kinds.dir || lastOrder.has(object) || objectAt(node) === object) continue;
    strayed.push({ node, object, order: object, sec: objects.mtimeSec[object]!, nsec: objects.mtimeNsec[object]! });
  }
  strayed.sort((left, right) => left.order - right.order);
  for (const { node, order, sec, nsec } of strayed) {
    const found = names.follow(node);
    if (found === 0)
      throw new FormatError('name', 'a directory that its own layer replaces, so that unpacking cannot set its time', {
        entry: tree.pathOf(node),
      });
    const target = objectAt(found);
    const isNamed = objects.kind[target] === kinds.dir;
    if (isNamed && order < (lastOrder.get(target) ?? target)) continue;
    objects.mtimeSec[target] = sec;
    objects.mtimeNsec[target] = nsec;
  }
}
