import { randomInt } from 'node:crypto';
import { FormatError } from '../estargz/error.ts';
import { freeColumns, growColumns } from './columns.ts';
import type { MemoryAccount } from './memory.ts';

/** NAME_MAX and PATH_MAX of Linux; longer names are unreachable in a mount. */
export const NAME_LIMIT_BYTES = 255;
export const PATH_LIMIT_BYTES = 4095;
/** Includes implied directories. */
export const nodeLimit = 1 << 22;

export const rootNode = 1;
const nodeColumns = ['parent', 'nameOffset', 'nameLength'] as const;
const slash = 0x2f;
const dot = 0x2e;

/**
 * The paths of a TOC as a tree of numbered nodes: 1 is the root, and children have higher numbers than their parents. One
 * open-addressing hash table over (parent, name) finds children; a node takes some 25 bytes.
 */
export class NameTree {
  nodeCount = rootNode;
  parent = new Uint32Array();
  nameOffset = new Uint32Array();
  nameLength = new Uint8Array();
  /** Names, and other bytes passed to `append`. */
  pool: Uint8Array = new Uint8Array(64 << 10);
  poolEnd = 0;
  #slots: Uint32Array<ArrayBuffer>;
  readonly #seed = randomInt(2 ** 32);
  /** Components of the current path: [start, end) pairs. */
  readonly #starts = new Uint32Array(PATH_LIMIT_BYTES + 1);
  readonly #ends = new Uint32Array(PATH_LIMIT_BYTES + 1);
  /** Whether that path needed no normalisation. */
  #isPlain = true;
  /** Directory of the last path, `a/b/`, with its nodes by level: the next path mostly shares a prefix. */
  readonly #lastDirectory = new Uint8Array(PATH_LIMIT_BYTES + 2);
  #lastLength = 0;
  readonly #lastNodes = new Uint32Array(PATH_LIMIT_BYTES + 1);

  /** Last component of the path passed to `addParent`, within its bytes; empty for the root. */
  baseStart = 0;
  baseEnd = 0;
  readonly #memory: MemoryAccount;

  constructor(expectedNodes: number, memory: MemoryAccount) {
    this.#memory = memory;
    const capacity = expectedNodes + 16;
    growColumns(this, nodeColumns, capacity, memory);
    memory.take(this.pool.length);
    this.#slots = this.#allocateSlots(2 ** Math.ceil(Math.log2(capacity * 1.5)));
    this.parent[rootNode] = rootNode;
  }

  /**
   * Returns the node of a path's directory, adding missing nodes, and sets `baseStart` and `baseEnd` to the last component,
   * for `addChild`. Throws FormatError('name' | 'limit').
   */
  addParent(bytes: Uint8Array, start: number, untrimmedEnd: number): number {
    let from = start;
    let end = untrimmedEnd;
    while (from < end && (bytes[from] === slash || (bytes[from] === dot && bytes[from + 1] === slash))) from++;
    while (end > from && bytes[end - 1] === slash) end--;
    const nodes = this.#lastNodes;
    const last = this.#lastDirectory;
    let shared = 0;
    let level = 0;
    for (let at = 0; at < this.#lastLength && from + at < end && bytes[from + at] === last[at]; at++) {
      if (last[at] !== slash) continue;
      shared = at + 1;
      level++;
    }
    let depth = this.#split(bytes, from + shared, end, shared);
    if (!this.#isPlain && shared > 0) {
      shared = 0;
      level = 0;
      depth = this.#split(bytes, from, end, 0);
    }
    const isPlain = this.#isPlain;
    nodes[0] = rootNode;
    for (let index = 0; index + 1 < depth; index++, level++) {
      nodes[level + 1] = this.addChild(nodes[level]!, bytes, this.#starts[index]!, this.#ends[index]!);
    }
    this.baseStart = depth === 0 ? 0 : this.#starts[depth - 1]!;
    this.baseEnd = depth === 0 ? 0 : this.#ends[depth - 1]!;
    this.#lastLength = 0;
    if (isPlain) {
      let length = end - from;
      while (length > 0 && bytes[from + length - 1] !== slash) length--;
      for (let at = shared; at < length; at++) last[at] = bytes[from + at]!;
      this.#lastLength = length;
    }
    return nodes[level]!;
  }

  /** The node of a path, 0 if absent. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const depth = this.#split(bytes, start, end, 0);
    let node = rootNode;
    for (let level = 0; level < depth && node !== 0; level++) {
      node = this.findChild(node, bytes, this.#starts[level]!, this.#ends[level]!);
    }
    return node;
  }

  findChild(parent: number, bytes: Uint8Array, start: number, end: number): number {
    return this.#slots[this.#slotOf(parent, bytes, start, end)]!;
  }

  /** Appends bytes to the pool and returns their offset. */
  append(bytes: Uint8Array, start: number, end: number): number {
    const isOwn = bytes === this.pool;
    const offset = this.reserve(end - start);
    const pool = this.pool;
    const source = isOwn ? pool : bytes;
    for (let at = start; at < end; at++) pool[offset + at - start] = source[at]!;
    return offset;
  }

  /** Reserves `count` bytes in the pool and returns their offset. */
  reserve(count: number): number {
    const offset = this.poolEnd;
    this.poolEnd += count;
    if (this.poolEnd > this.pool.length) {
      growColumns(this, ['pool'], Math.max(this.poolEnd, Math.ceil(this.pool.length * 1.5)), this.#memory);
    }
    return offset;
  }

  /** Frees the memory at once; unusable afterwards. */
  free(): void {
    freeColumns(this, [...nodeColumns, 'pool']);
    this.#slots.buffer.transfer(0);
  }

  nameOf(node: number, encoding: 'utf8' | 'latin1' = 'utf8'): string {
    const start = this.nameOffset[node]!;
    return Buffer.from(this.pool.buffer, start, this.nameLength[node]!).toString(encoding);
  }

  /** In UTF-8 for messages; in Latin-1 without loss. */
  pathOf(node: number, encoding: 'utf8' | 'latin1' = 'utf8'): string {
    const names: string[] = [];
    for (let at = node; at !== rootNode; at = this.parent[at]!) names.push(this.nameOf(at, encoding));
    return names.reverse().join('/');
  }

  /**
   * Splits a path, or its rest after a prefix, into components. Normalises lexically: empty ones and `.` are dropped, `..` drops
   * the one before it and stops at the root.
   */
  #split(bytes: Uint8Array, start: number, end: number, prefixBytes: number): number {
    let depth = 0;
    let lengthBytes = prefixBytes;
    this.#isPlain = true;
    for (let at = start; at <= end; ) {
      const from = at;
      for (; at < end && bytes[at] !== slash; at++)
        if (bytes[at] === 0) throw nameError('contains a NUL byte', bytes, start, end);
      const length = at - from;
      at++;
      if (length === 0 || (length === 1 && bytes[from] === dot)) {
        // An empty component behind a trailing slash is no deviation.
        if (at <= end) this.#isPlain = false;
        continue;
      }
      if (length === 2 && bytes[from] === dot && bytes[from + 1] === dot) {
        this.#isPlain = false;
        if (depth > 0) lengthBytes -= this.#ends[--depth]! - this.#starts[depth]! + 1;
        continue;
      }
      if (length > NAME_LIMIT_BYTES)
        throw nameError(`has a component of ${length} bytes (limit ${NAME_LIMIT_BYTES})`, bytes, start, end);
      lengthBytes += length + 1;
      if (lengthBytes > PATH_LIMIT_BYTES + 1)
        throw nameError(`is longer than ${PATH_LIMIT_BYTES} bytes`, bytes, start, end);
      this.#starts[depth] = from;
      this.#ends[depth++] = from + length;
    }
    return depth;
  }

  /** Returns the node of a name in a directory, adding it if missing. */
  addChild(parent: number, bytes: Uint8Array, start: number, end: number): number {
    const slot = this.#slotOf(parent, bytes, start, end);
    const found = this.#slots[slot]!;
    if (found !== 0) return found;
    const node = this.nodeCount + 1;
    if (node > nodeLimit) throw new FormatError('limit', `TOC: more than ${nodeLimit} files and directories`);
    if (node >= this.parent.length) growColumns(this, nodeColumns, Math.ceil(this.parent.length * 1.5), this.#memory);
    this.nodeCount = node;
    this.parent[node] = parent;
    this.nameOffset[node] = this.append(bytes, start, end);
    this.nameLength[node] = end - start;
    this.#slots[slot] = node;
    if (node * 1.4 > this.#slots.length) this.#growSlots();
    return node;
  }

  /** The slot of this child, or the empty slot for it. */
  #slotOf(parent: number, bytes: Uint8Array, start: number, end: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const { pool, nameOffset } = this;
    const length = end - start;
    let slot = this.#hash(parent, bytes, start, end) & mask;
    for (; ; slot = (slot + 1) & mask) {
      const node = slots[slot]!;
      if (node === 0) return slot;
      if (this.parent[node] !== parent || this.nameLength[node] !== length) continue;
      const offset = nameOffset[node]!;
      let same = 0;
      while (same < length && pool[offset + same] === bytes[start + same]) same++;
      if (same === length) return slot;
    }
  }

  /** FNV-1a with a random seed against prepared collisions, then mixed, since the mask takes the low bits. */
  #hash(parent: number, bytes: Uint8Array, start: number, end: number): number {
    let hash = Math.imul(this.#seed ^ parent, 0x9e3779b1);
    hash ^= hash >>> 15;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
    hash ^= hash >>> 16;
    hash = Math.imul(hash, 0x85ebca6b);
    return (hash ^ (hash >>> 13)) >>> 0;
  }

  #allocateSlots(count: number): Uint32Array<ArrayBuffer> {
    this.#memory.take(count * Uint32Array.BYTES_PER_ELEMENT);
    return new Uint32Array(count);
  }

  #growSlots(): void {
    const stale = this.#slots;
    this.#slots = this.#allocateSlots(stale.length * 2);
    const staleBytes = stale.byteLength;
    stale.buffer.transfer(0);
    this.#memory.give(staleBytes);
    for (let node = rootNode + 1; node <= this.nodeCount; node++) {
      const start = this.nameOffset[node]!;
      this.#slots[this.#slotOf(this.parent[node]!, this.pool, start, start + this.nameLength[node]!)] = node;
    }
  }
}

function nameError(problem: string, bytes: Uint8Array, start: number, end: number): FormatError {
  const entry = Buffer.from(bytes.buffer, bytes.byteOffset + start, Math.min(end - start, 400)).toString('utf8');
  return new FormatError('name', `the name ${problem}`, { entry });
}
