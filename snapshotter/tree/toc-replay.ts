import { FormatError } from '../estargz/error.ts';
import { NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TOC_NAME } from '../estargz/names.ts';
import { sliceText, type TocEntry } from '../estargz/toc.ts';
import { ChunkColumns } from './chunk-columns.ts';
import { settleDirectoryTimes, type TimedEntry } from './directory-times.ts';
import { kinds, objectFlags } from './kinds.ts';
import type { MemoryAccount } from './memory.ts';
import { NameTree, rootNode } from './name-tree.ts';
import { checkTarget, ObjectColumns, refuse } from './object-columns.ts';
import { UnpackedNames } from './unpacked-names.ts';
import type { XattrRules } from './xattr-columns.ts';

const whiteoutPrefix = Buffer.from('.wh.');
const opaqueMarker = Buffer.from('.wh..wh..opq');
export const reservedNames = [PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK, TOC_NAME].map((name) => Buffer.from(name));

/** Size of list elements on V8's heap. */
const jsNumberBytes = 8;
const timedEntryBytes = 100;

/** Limit on the work of opaque markers in a lowest layer. */
const opaqueWorkLimit = 1 << 24;

export interface ReplayOptions extends XattrRules {
  /** Of the blob's footer: the end of the last data member. */
  readonly payloadEnd: number;
  /** The lowest layer, where whiteouts remove what the layer itself has, and leave nothing. */
  readonly isLowest?: boolean;
}

/**
 * Replays a TOC into columns as containerd's archive.Apply unpacks the layer's tar for overlayfs: entry by entry, each onto the
 * result of those before. Throws FormatError where unpacking fails, except where containerd can unpack into plain directories.
 */
export class TocReplay {
  readonly tree: NameTree;
  readonly objects: ObjectColumns;
  readonly chunks: ChunkColumns;
  readonly names: UnpackedNames;
  /** Implied directories, in order. */
  readonly implied: number[] = [];
  prefetchLandmark = 0;
  hasNoPrefetchLandmark = false;
  /** Has whiteouts or opaque markers, which have another effect in a lowest layer. */
  hasMarks = false;
  readonly #isLowest: boolean;
  readonly #memory: MemoryAccount;
  /** Entries of directories that already existed, or whose names led through symbolic links. */
  readonly #timed: TimedEntry[] = [];
  /** Of the last regular file: the directory node of its name as written, and its own node, 0 if invisible. */
  #fileDirectory = 0;
  #fileNode = 0;
  #opaqueWork = 0;

  constructor(expectedEntries: number, { payloadEnd, isLowest, opaqueXattr }: ReplayOptions, memory: MemoryAccount) {
    this.#isLowest = isLowest ?? false;
    this.#memory = memory;
    this.tree = new NameTree(expectedEntries, memory);
    const capacity = this.tree.parent.length;
    this.objects = new ObjectColumns(this.tree, capacity, { opaqueXattr }, memory);
    this.chunks = new ChunkColumns(this.objects, payloadEnd, capacity, memory);
    this.names = new UnpackedNames(this.tree, this.objects, memory, (object) => {
      memory.take(jsNumberBytes);
      this.implied.push(object);
    });
  }

  readonly visit = (entry: TocEntry): void => {
    const { tree, names, chunks } = this;
    if (entry.type === 'chunk') {
      this.#addFurtherChunk(entry);
      return;
    }
    chunks.finish(this.#nameOf);
    const { bytes } = entry.name;
    const lexical = tree.addParent(bytes, entry.name.start, entry.name.end);
    const { baseStart, baseEnd } = tree;
    names.grow();
    this.#fileDirectory = lexical;
    this.#fileNode = 0;
    if (baseStart === baseEnd) {
      // Unpacking ignores entries for the root.
      this.#addUnseen(entry);
      return;
    }
    const directory = names.directory(lexical, entry);
    if (startsWith(bytes, baseStart, baseEnd, whiteoutPrefix)) {
      this.#mark(directory, entry, baseStart, baseEnd);
      return;
    }
    const node = tree.addChild(directory, bytes, baseStart, baseEnd);
    names.grow();
    this.#fileNode = node;
    if (entry.type === 'dir') this.#unpackDirectory(node, entry, directory === lexical ? 0 : lexical);
    else if (entry.type === 'hardlink') this.#link(node, entry);
    else this.#unpack(node, entry);
    if (directory === rootNode && entry.type === 'reg') this.#noteReserved(node);
  };

  /** Call after the last entry. */
  finish(): void {
    this.chunks.finish(this.#nameOf);
    if (this.names.hasRemoved || this.#timed.length > 0)
      settleDirectoryTimes(this.tree, this.objects, this.names, this.#timed);
  }

  /** Frees the memory at once; unusable afterwards. */
  free(): void {
    for (const part of [this.tree, this.objects, this.chunks, this.names]) part.free();
  }

  readonly #nameOf = (object: number): string => {
    const node = this.objects.node[object]!;
    return node === 0 ? '' : this.tree.pathOf(node);
  };

  #addFurtherChunk(entry: TocEntry): void {
    const { tree, chunks } = this;
    if (chunks.file === 0) throw refuse(entry, 'chunk', 'a chunk that follows no regular file with content');
    const { bytes, start, end } = entry.name;
    const node = this.#fileNode;
    if (start !== end && node !== 0) {
      const isSame =
        tree.addParent(bytes, start, end) === this.#fileDirectory &&
        tree.findChild(tree.parent[node]!, bytes, tree.baseStart, tree.baseEnd) === node;
      this.names.grow();
      if (!isSame) {
        const file = JSON.stringify(this.#nameOf(chunks.file));
        throw refuse(entry, 'chunk', `a chunk among those of ${file}`);
      }
    }
    chunks.add(entry);
  }

  /** Checks an entry that is never visible and has no content in the data file. */
  #addUnseen(entry: TocEntry): void {
    const object = this.objects.add(kinds.reg);
    this.objects.noteAttributes(object, entry);
    this.objects.flags[object] = objectFlags.withoutData;
    if (entry.type === 'reg') this.chunks.begin(object, entry);
  }

  #unpackDirectory(node: number, entry: TocEntry, lexical: number): void {
    const { objects, names } = this;
    let object = names.childAt(node);
    const isNew = object === 0 || !objects.isDirectory(object);
    if (isNew) object = objects.add(kinds.dir);
    objects.kind[object] = kinds.dir;
    objects.flags[object]! |= objectFlags.named;
    objects.noteAttributes(object, entry);
    if (isNew) names.put(node, object);
    if (isNew && lexical === 0) return;
    const { baseStart, baseEnd } = this.tree;
    const named = lexical === 0 ? node : this.tree.addChild(lexical, entry.name.bytes, baseStart, baseEnd);
    names.grow();
    this.#memory.take(timedEntryBytes);
    this.#timed.push({
      node: named,
      object,
      order: objects.count + (this.#timed.length + 1) / 2 ** 22,
      sec: objects.mtimeSec[object]!,
      nsec: objects.mtimeNsec[object]!,
    });
  }

  #unpack(node: number, entry: TocEntry): void {
    const { objects } = this;
    const object = objects.add(kinds[entry.type as keyof typeof kinds]);
    objects.noteAttributes(object, entry);
    if (entry.type === 'symlink') objects.noteTarget(object, entry);
    else if (entry.type === 'char' || entry.type === 'block') objects.noteDevice(object, entry);
    this.#replace(node);
    this.names.put(node, object);
    if (entry.type === 'reg') this.chunks.begin(object, entry);
  }

  /** os.RemoveAll of a directory that is replaced. */
  #replace(node: number): void {
    if (this.names.objectAt[node] !== 0 && this.objects.isDirectory(this.names.objectAt[node]!))
      this.names.remove(node);
  }

  #link(node: number, entry: TocEntry): void {
    const { objects, names } = this;
    checkTarget(entry);
    this.#replace(node);
    const { bytes, start, end } = entry.linkName;
    const target = names.find(bytes, start, end);
    // The name was removed before the link is created.
    const object = target === 0 || target === node ? 0 : names.at(target);
    if (object === 0) throw linkError(entry, 'links to a file that the layer does not have by then');
    if (objects.isDirectory(object)) throw linkError(entry, 'is a hard link to a directory');
    if (objects.hasFlag(object, objectFlags.withoutData)) throw linkError(entry, 'links to what a mount hides');
    objects.noteAttributes(object, entry);
    names.put(node, object);
  }

  /** A whiteout or an opaque marker, of any type of entry. */
  #mark(directory: number, entry: TocEntry, baseStart: number, baseEnd: number): void {
    const { bytes } = entry.name;
    const start = baseStart + whiteoutPrefix.length;
    const isOpaque = baseEnd - baseStart === opaqueMarker.length && startsWith(bytes, baseStart, baseEnd, opaqueMarker);
    this.hasMarks = true;
    this.#addUnseen(entry);
    if (isOpaque && this.#isLowest) this.#removeUnnamed(directory);
    else if (isOpaque) this.objects.flags[this.names.objectAt[directory]!]! |= objectFlags.opaque;
    else if (isDots(bytes, start, baseEnd)) throw refuse(entry, 'name', 'a whiteout that names nothing');
    else this.#whiteOut(directory, entry, start, baseEnd);
  }

  #whiteOut(directory: number, entry: TocEntry, start: number, end: number): void {
    const { tree, objects, names } = this;
    const node = tree.addChild(directory, entry.name.bytes, start, end);
    names.grow();
    const found = names.childAt(node);
    if (this.#isLowest) {
      if (found !== 0) names.remove(node);
    } else if (found === 0) {
      const object = objects.add(kinds.whiteout);
      objects.noteAttributes(object, entry);
      names.put(node, object);
    } else if (objects.kind[found] !== kinds.whiteout) {
      // mknod(2) fails with EEXIST.
      throw refuse(entry, 'name', 'a whiteout of what its own layer has put there before');
    }
  }

  /** The opaque marker of a lowest layer: removes what no entry has named so far. */
  #removeUnnamed(directory: number): void {
    const { objects, names, tree } = this;
    for (const object of this.implied) {
      const node = objects.node[object]!;
      if (objects.kind[object] !== kinds.implicit || objects.hasFlag(object, objectFlags.named)) continue;
      if (names.objectAt[node] !== object) continue;
      let at = tree.parent[node]!;
      while (at !== directory && at !== rootNode) {
        at = tree.parent[at]!;
        this.#opaqueWork++;
      }
      if (++this.#opaqueWork > opaqueWorkLimit)
        throw new FormatError('limit', 'too many opaque markers above implied directories');
      if (at === directory && names.at(node) !== 0) names.remove(node);
    }
  }

  /** The format's own files at the root have no content in the data file. */
  #noteReserved(node: number): void {
    const { tree, objects, names } = this;
    const start = tree.nameOffset[node]!;
    const index = reservedNames.findIndex(
      (name) => name.length === tree.nameLength[node] && startsWith(tree.pool, start, start + name.length, name),
    );
    if (index < 0) return;
    const object = names.objectAt[node]!;
    objects.flags[object]! |= objectFlags.withoutData;
    if (index === 0) this.prefetchLandmark = object;
    if (index === 1) this.hasNoPrefetchLandmark = true;
  }
}

function linkError(entry: TocEntry, problem: string): FormatError {
  const target = JSON.stringify(sliceText(entry.linkName).slice(0, 200));
  return refuse(entry, 'link', `${problem} (target ${target})`);
}

function startsWith(bytes: Uint8Array, start: number, end: number, prefix: Uint8Array): boolean {
  if (end - start < prefix.length) return false;
  for (let at = 0; at < prefix.length; at++) if (bytes[start + at] !== prefix[at]) return false;
  return true;
}

/** Nothing, `.` or `..`. */
function isDots(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > 2) return false;
  for (let at = start; at < end; at++) if (bytes[at] !== 0x2e) return false;
  return true;
}
