import { FormatError } from '../estargz/error.ts';
import { sliceText, type TocEntry } from '../estargz/toc.ts';
import { freeColumns, growColumns } from './columns.ts';
import { isDirectoryKind, kinds, objectFlags } from './kinds.ts';
import type { MemoryAccount } from './memory.ts';
import { type NameTree, rootNode } from './name-tree.ts';
import { type ObjectColumns, rootObject } from './object-columns.ts';
import { type LinkedTree, lookUp, type ResolutionWork, rootPath } from './root-path.ts';

const columns = ['objectAt', 'parentObject'] as const;

/**
 * The object of each name during the replay. A name is valid only while its directory is still the object that it was put
 * into, so replacing a directory invalidates everything below without visiting it.
 */
export class UnpackedNames {
  /** By node: the last object put there, 0 for none. */
  objectAt = new Uint32Array();
  /** By node: the directory's object at that time, 0 once removed. */
  parentObject = new Uint32Array();
  /** A directory was replaced or a name removed, so that names above have to be checked too. */
  hasRemoved = false;
  symlinkCount = 0;
  readonly #tree: NameTree;
  readonly #objects: ObjectColumns;
  readonly #memory: MemoryAccount;
  readonly #onImplied: (object: number) => void;
  readonly #work: ResolutionWork = { done: 0 };
  /** Incremented by whatever may change the resolution of a path. */
  #changes = 0;
  /** Cache of the last directory resolved through a symbolic link. */
  #resolved = { from: 0, to: 0, changes: -1 };

  constructor(tree: NameTree, objects: ObjectColumns, memory: MemoryAccount, onImplied: (object: number) => void) {
    this.#tree = tree;
    this.#objects = objects;
    this.#memory = memory;
    this.#onImplied = onImplied;
    growColumns(this, columns, tree.parent.length, memory);
    this.objectAt[rootNode] = rootObject;
    this.parentObject[rootNode] = rootObject;
  }

  /** Call after nodes were added to the tree. */
  grow(): void {
    if (this.#tree.nodeCount >= this.objectAt.length)
      growColumns(this, columns, this.#tree.parent.length, this.#memory);
  }

  free(): void {
    freeColumns(this, columns);
  }

  /** The current object of a name, 0 for none. */
  at(node: number): number {
    const object = this.objectAt[node]!;
    if (object === 0 || !this.hasRemoved) return object;
    for (let at = node; at !== rootNode; at = this.#tree.parent[at]!) if (!this.#holds(at)) return 0;
    return object;
  }

  /** The same for a name in an existing directory. */
  childAt(node: number): number {
    return this.#holds(node) ? this.objectAt[node]! : 0;
  }

  /** By node: 1 if the name has an object. One pass, since parents have lower numbers than their children. */
  shown(): Uint8Array {
    const count = this.#tree.nodeCount;
    this.#memory.take(count + 1);
    const shown = new Uint8Array(count + 1);
    shown[rootNode] = 1;
    for (let node = rootNode + 1; node <= count; node++)
      shown[node] = shown[this.#tree.parent[node]!]! & Number(this.#holds(node));
    return shown;
  }

  /** Gives the name an object, in place of the previous one and all below it. */
  put(node: number, object: number): void {
    const before = this.objectAt[node]!;
    if (before !== 0) {
      const objects = this.#objects;
      if (objects.isDirectory(before)) this.hasRemoved = true;
      if (objects.kind[before] !== kinds.implicit || objects.hasFlag(before, objectFlags.named))
        objects.flags[object]! |= objectFlags.named;
      this.#changes++;
    }
    if (this.#objects.kind[object] === kinds.symlink) {
      this.symlinkCount++;
      this.#changes++;
    }
    this.objectAt[node] = object;
    this.parentObject[node] = this.objectAt[this.#tree.parent[node]!]!;
    if (this.#objects.node[object] === 0) this.#objects.node[object] = node;
  }

  /** Removes the name and all below it. */
  remove(node: number): void {
    this.parentObject[node] = 0;
    this.hasRemoved = true;
    this.#changes++;
  }

  /**
   * The directory in which containerd creates an entry whose name is in `node`: resolves symbolic links within the root and
   * creates missing directories. Throws FormatError 'name' where unpacking fails.
   */
  directory(node: number, entry: TocEntry): number {
    const object = this.objectAt[node]!;
    if (object !== 0 && !this.hasRemoved && this.#objects.isDirectory(object)) return node;
    const { from, to, changes } = this.#resolved;
    if (from === node && changes === this.#changes) return to;
    const link = this.#open(node, entry);
    if (link === 0) return node;
    const target = this.#nodeOf(rootPath(this.#tree.pathOf(node, 'latin1'), this.#readLink, this.#work));
    if (this.#open(target, entry) !== 0) throw this.#notDirectory(link, entry);
    this.#resolved = { from: node, to: target, changes: this.#changes };
    return target;
  }

  /** The node of a path, 0 if absent; follows symbolic links except in the last component. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const path =
      this.symlinkCount === 0
        ? ''
        : Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
    // `..` is relative to the target of a link, and a trailing slash follows one.
    if (!path.includes('..') && !path.endsWith('/')) {
      const node = this.#tree.find(bytes, start, end);
      if (node !== 0 && this.at(node) !== 0) return node;
      if (this.symlinkCount === 0) return 0;
    }
    const cut = path.lastIndexOf('/') + 1;
    const directory = rootPath(path.slice(0, cut), this.#readLink, this.#work);
    return this.#findPath(`${directory}/${path.slice(cut)}`);
  }

  /** The node that a node's path resolves to now, 0 if absent; follows all symbolic links. */
  follow(node: number): number {
    return this.#findPath(rootPath(this.#tree.pathOf(node, 'latin1'), this.#readLink, this.#work));
  }

  #holds(node: number): boolean {
    return this.objectAt[node] !== 0 && this.parentObject[node] === this.objectAt[this.#tree.parent[node]!];
  }

  /** Creates missing directories up to `node`. Returns the node of a symbolic link on the way, or 0. */
  #open(node: number, entry: TocEntry): number {
    const objects = this.#objects;
    const path: number[] = [];
    for (let at = node; at !== rootNode; at = this.#tree.parent[at]!) path.push(at);
    for (const at of path.reverse()) {
      const object = this.#holds(at) ? this.objectAt[at]! : 0;
      const kind = objects.kind[object]!;
      if (object !== 0 && kind === kinds.symlink) return at;
      // overlayfs cannot unpack this; containerd's native snapshotter shows nothing of the layers below.
      if (object !== 0 && kind === kinds.whiteout) this.#imply(at, objectFlags.opaque);
      else if (object === 0) this.#imply(at, objectFlags.inherits);
      else if (!isDirectoryKind(kind)) throw this.#notDirectory(at, entry);
    }
    return 0;
  }

  #imply(node: number, flag: number): void {
    const objects = this.#objects;
    const object = objects.add(kinds.implicit);
    const above = this.objectAt[this.#tree.parent[node]!]!;
    objects.mode[object] = 0o755;
    // mkdir(2) in a set-group-ID directory; chmod(2) then clears the bit.
    if ((objects.mode[above]! & 0o2000) !== 0) objects.gid[object] = objects.gid[above]!;
    objects.flags[object] = flag;
    this.put(node, object);
    this.#onImplied(object);
  }

  readonly #readLink = (path: string): string | undefined => {
    const node = lookUp(this.#linked, path, this.#work);
    return node === 0 ? undefined : this.#linked.linkTarget(node);
  };

  readonly #linked: LinkedTree = {
    root: rootNode,
    child: (directory, name) => {
      const node = this.#tree.findChild(directory, name, 0, name.length);
      return node !== 0 && this.#holds(node) ? node : 0;
    },
    parent: (directory) => this.#tree.parent[directory]!,
    isDirectory: (node) => this.#objects.isDirectory(this.objectAt[node]!),
    linkTarget: (node) => {
      const object = this.objectAt[node]!;
      if (this.#objects.kind[object] !== kinds.symlink) return undefined;
      const start = this.#objects.value[object]!;
      return Buffer.from(this.#tree.pool.buffer, start, this.#objects.valueLength[object]!).toString('latin1');
    },
  };

  #findPath(path: string): number {
    const bytes = Buffer.from(path, 'latin1');
    const node = this.#tree.find(bytes, 0, bytes.length);
    return node !== 0 && this.at(node) !== 0 ? node : 0;
  }

  #nodeOf(path: string): number {
    let node = rootNode;
    for (const name of path.split('/')) {
      const bytes = Buffer.from(name, 'latin1');
      if (bytes.length > 0) node = this.#tree.addChild(node, bytes, 0, bytes.length);
    }
    this.grow();
    return node;
  }

  #notDirectory(node: number, entry: TocEntry): FormatError {
    const name = JSON.stringify(this.#tree.nameOf(node));
    return new FormatError('name', `lies below ${name}, which is not a directory`, { entry: sliceText(entry.name) });
  }
}
