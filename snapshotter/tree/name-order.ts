/**
 * Sorts node numbers in place by the bytes of their names. Sorted input, the usual case in tar files, costs one comparison per
 * entry; otherwise a merge sort, which no hostile order makes quadratic.
 */
export function sortByName(
  nodes: Uint32Array,
  pool: Uint8Array,
  nameStart: (node: number) => number,
  nameEnd: (node: number) => number,
): void {
  const compare = (left: number, right: number): number =>
    compareBytes(pool, nameStart(left), nameEnd(left), nameStart(right), nameEnd(right));
  let sorted = 1;
  while (sorted < nodes.length && compare(nodes[sorted - 1]!, nodes[sorted]!) < 0) sorted++;
  if (sorted >= nodes.length) return;
  if (nodes.length <= 24) sortByInsertion(nodes, sorted, compare);
  else sortByMerging(nodes, compare);
}

function sortByInsertion(nodes: Uint32Array, sorted: number, compare: (left: number, right: number) => number): void {
  for (let index = sorted; index < nodes.length; index++) {
    const node = nodes[index]!;
    let at = index;
    for (; at > 0 && compare(nodes[at - 1]!, node) > 0; at--) nodes[at] = nodes[at - 1]!;
    nodes[at] = node;
  }
}

function sortByMerging(nodes: Uint32Array, compare: (left: number, right: number) => number): void {
  let from: Uint32Array = nodes;
  let to: Uint32Array = new Uint32Array(nodes.length);
  for (let width = 1; width < nodes.length; width *= 2) {
    for (let start = 0; start < nodes.length; start += 2 * width) {
      const middle = Math.min(start + width, nodes.length);
      const end = Math.min(start + 2 * width, nodes.length);
      let left = start;
      let right = middle;
      for (let at = start; at < end; at++) {
        const takesLeft = left < middle && (right >= end || compare(from[left]!, from[right]!) <= 0);
        to[at] = takesLeft ? from[left++]! : from[right++]!;
      }
    }
    [from, to] = [to, from];
  }
  if (from !== nodes) nodes.set(from);
}

/** memcmp of two slices of the pool; a prefix sorts first. */
function compareBytes(
  pool: Uint8Array,
  leftStart: number,
  leftEnd: number,
  rightStart: number,
  rightEnd: number,
): number {
  const length = Math.min(leftEnd - leftStart, rightEnd - rightStart);
  for (let at = 0; at < length; at++) {
    const difference = pool[leftStart + at]! - pool[rightStart + at]!;
    if (difference !== 0) return difference;
  }
  return leftEnd - leftStart - (rightEnd - rightStart);
}
