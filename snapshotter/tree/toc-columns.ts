import { FormatError, type FormatErrorCode } from '../estargz/error.ts';
import { hexValue } from '../estargz/json-scanner.ts';
import { MEMBER_SIZE_LIMIT_BYTES } from '../estargz/member.ts';
import { type ByteSlice, sliceText, type TocEntry } from '../estargz/toc.ts';
import { DIGEST_BYTES } from '../registry/digest.ts';
import { growColumns } from './columns.ts';
import { NameTree, PATH_LIMIT_BYTES, rootNode } from './name-tree.ts';
import { parseTimestamp, type Timestamp } from './rfc3339.ts';
import { XattrColumns } from './xattr-columns.ts';

/** The largest file ext4 stores; the layer's data file holds every file of the layer. */
export const DATA_SIZE_LIMIT_BYTES = 2 ** 44;

export const kinds = { implicit: 0, dir: 1, reg: 2, symlink: 3, hardlink: 4, char: 5, block: 6, fifo: 7 } as const;

const nodeColumns = [
  'kind',
  'mode',
  'uid',
  'gid',
  'size',
  'mtimeSec',
  'mtimeNsec',
  'value',
  'valueLength',
  'firstXattr',
  'xattrLength',
] as const;
const chunkColumns = ['chunkNode', 'chunkOffset', 'chunkInner', 'chunkSize', 'chunkHasDigest'] as const;

/**
 * The entries of a TOC as they come, each checked by itself and noted in columns by its node of the name tree. Where a
 * name comes twice the later entry counts, as for tar; children of a directory that comes twice stay.
 */
export class TocColumns {
  readonly tree: NameTree;
  readonly xattrs: XattrColumns;

  kind = new Uint8Array();
  mode = new Uint16Array();
  uid = new Uint32Array();
  gid = new Uint32Array();
  size = new Float64Array();
  mtimeSec = new Float64Array();
  mtimeNsec = new Uint32Array();
  /** Devices: rdev. Links: offset of the target in the pool. Regular files: first chunk row. */
  value = new Uint32Array();
  /** Links: length of the target. Regular files: number of chunk rows. */
  valueLength = new Uint32Array();
  firstXattr = new Uint32Array();
  xattrLength = new Uint8Array();

  chunkCount = 0;
  chunkNode = new Uint32Array();
  chunkOffset = new Float64Array();
  chunkInner = new Uint32Array();
  chunkSize = new Uint32Array();
  chunkHasDigest = new Uint8Array();
  chunkDigest = new Uint8Array();

  readonly #payloadEnd: number;
  readonly #time: Timestamp = { sec: 0, nsec: 0 };
  /** The regular file whose chunks are being listed; 0 if none. */
  #file = 0;
  #fileSize = 0;
  #nextChunkOffset = 0;

  constructor(expectedEntries: number, payloadEnd: number) {
    this.#payloadEnd = payloadEnd;
    this.tree = new NameTree(expectedEntries);
    this.xattrs = new XattrColumns(this.tree);
    growColumns(this, nodeColumns, this.tree.parent.length);
    this.#growChunkColumns(this.tree.parent.length);
  }

  readonly visit = (entry: TocEntry): void => {
    const { type, name } = entry;
    if (type === 'chunk') {
      this.#addFurtherChunk(entry);
      return;
    }
    this.finish();
    const node = this.tree.add(name.bytes, name.start, name.end);
    if (node >= this.kind.length) growColumns(this, nodeColumns, this.tree.parent.length);
    if (node === rootNode && type !== 'dir') throw refuse(entry, 'name', 'the root of the layer must be a directory');
    this.#noteAttributes(node, entry);
    this.kind[node] = kinds[type];
    if (type === 'reg') this.#noteFile(node, entry);
    else if (type === 'symlink' || type === 'hardlink') this.#noteLink(node, entry);
    else if (type === 'char' || type === 'block') this.#noteDevice(node, entry);
  };

  /** Call after the last entry: the last file's chunks must reach its end. */
  finish(): void {
    if (this.#file !== 0 && this.#nextChunkOffset !== this.#fileSize) {
      throw new FormatError('chunk', `its chunks cover ${this.#nextChunkOffset} of ${this.#fileSize} bytes`, {
        entry: this.tree.pathOf(this.#file),
      });
    }
    this.#file = 0;
  }

  #noteAttributes(node: number, entry: TocEntry): void {
    if (!isWhole(entry.mode, 0xffffffff)) throw refuse(entry, 'entry', `mode ${entry.mode}`);
    // The kernel keeps 2^32 - 1 for "no change".
    if (!isWhole(entry.uid, 0xfffffffe)) throw refuse(entry, 'entry', `uid ${entry.uid}`);
    if (!isWhole(entry.gid, 0xfffffffe)) throw refuse(entry, 'entry', `gid ${entry.gid}`);
    if (!parseTimestamp(entry.modTime, this.#time)) {
      throw refuse(entry, 'entry', `modtime ${JSON.stringify(sliceText(entry.modTime).slice(0, 60))}`);
    }
    this.mode[node] = entry.mode & 0o7777;
    this.uid[node] = entry.uid;
    this.gid[node] = entry.gid;
    this.mtimeSec[node] = this.#time.sec;
    this.mtimeNsec[node] = this.#time.nsec;
    this.size[node] = 0;
    this.value[node] = 0;
    this.valueLength[node] = 0;
    this.firstXattr[node] = this.xattrs.count;
    this.xattrLength[node] = entry.xattrCount === 0 ? 0 : this.xattrs.add(entry);
  }

  #noteLink(node: number, entry: TocEntry): void {
    const { bytes, start, end } = entry.linkName;
    if (start === end) throw refuse(entry, 'link', 'a link without a target');
    if (end - start > PATH_LIMIT_BYTES)
      throw refuse(entry, 'link', `a target of ${end - start} bytes (limit ${PATH_LIMIT_BYTES})`);
    for (let at = start; at < end; at++) if (bytes[at] === 0) throw refuse(entry, 'link', 'a target with a NUL byte');
    this.value[node] = this.tree.append(bytes, start, end);
    this.valueLength[node] = end - start;
  }

  #noteDevice(node: number, entry: TocEntry): void {
    const { devMajor: major, devMinor: minor } = entry;
    if (!isWhole(major, 0xfff) || !isWhole(minor, 0xfffff))
      throw refuse(entry, 'entry', `device number ${major}:${minor}`);
    this.value[node] = ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
  }

  #noteFile(node: number, entry: TocEntry): void {
    if (!isWhole(entry.size, DATA_SIZE_LIMIT_BYTES)) throw refuse(entry, 'entry', `size ${entry.size}`);
    this.size[node] = entry.size;
    this.value[node] = this.chunkCount;
    if (entry.size === 0) return;
    this.#file = node;
    this.#fileSize = entry.size;
    this.#nextChunkOffset = 0;
    this.#addChunk(entry);
  }

  #addFurtherChunk(entry: TocEntry): void {
    if (this.#file === 0) throw refuse(entry, 'chunk', 'a chunk that follows no regular file with content');
    const { name } = entry;
    if (name.start !== name.end && this.tree.find(name.bytes, name.start, name.end) !== this.#file) {
      throw refuse(entry, 'chunk', `a chunk among those of ${JSON.stringify(this.tree.pathOf(this.#file))}`);
    }
    this.#addChunk(entry);
  }

  #addChunk(entry: TocEntry): void {
    if (entry.hasZerosChunk) throw refuse(entry, 'unsupported', 'a chunk of type "zeros"');
    const fileOffset = entry.chunkOffset;
    if (fileOffset !== this.#nextChunkOffset) {
      const problem = fileOffset > this.#nextChunkOffset ? 'leaves a gap' : 'overlaps the one before it';
      throw refuse(entry, 'chunk', `the chunk at ${fileOffset} ${problem}; ${this.#nextChunkOffset} is next`);
    }
    const remaining = this.#fileSize - fileOffset;
    const size = entry.chunkSize === 0 ? remaining : entry.chunkSize;
    if (!isWhole(size, remaining) || size === 0) {
      throw refuse(entry, 'chunk', `a chunk of ${size} bytes where ${remaining} are left of the file`);
    }
    const { offset, innerOffset: inner } = entry;
    // Offset 0 is the member that begins with the first tar header, so content can only lie further inside.
    if (!isWhole(offset, this.#payloadEnd - 1) || !isWhole(inner, MEMBER_SIZE_LIMIT_BYTES) || offset + inner === 0) {
      throw refuse(
        entry,
        'chunk',
        `offset ${offset} (inner offset ${inner}) in a blob of ${this.#payloadEnd} bytes of content`,
      );
    }
    if (inner + size > MEMBER_SIZE_LIMIT_BYTES) {
      throw refuse(
        entry,
        'limit',
        `a chunk that ends ${inner + size} bytes into its member (limit ${MEMBER_SIZE_LIMIT_BYTES})`,
      );
    }
    if (this.chunkCount === this.chunkNode.length) this.#growChunkColumns(Math.ceil(this.chunkCount * 1.5));
    const row = this.chunkCount++;
    this.chunkNode[row] = this.#file;
    this.chunkOffset[row] = offset;
    this.chunkInner[row] = inner;
    this.chunkSize[row] = size;
    const isWholeFile = size === this.#fileSize;
    const slice = entry.chunkDigest.start === entry.chunkDigest.end && isWholeFile ? entry.digest : entry.chunkDigest;
    this.chunkHasDigest[row] = slice.start === slice.end ? 0 : 1;
    if (slice.start !== slice.end) this.#noteDigest(row, slice, entry);
    this.#nextChunkOffset += size;
    this.valueLength[this.#file]!++;
  }

  #noteDigest(row: number, slice: ByteSlice, entry: TocEntry): void {
    const { bytes, start, end } = slice;
    const algorithm = 'sha256:';
    let isGood = end - start === algorithm.length + 2 * DIGEST_BYTES;
    for (let at = 0; at < algorithm.length && isGood; at++) isGood = bytes[start + at] === algorithm.charCodeAt(at);
    for (let at = 0; at < DIGEST_BYTES && isGood; at++) {
      const high = hexValue(bytes[start + algorithm.length + 2 * at]!);
      const low = hexValue(bytes[start + algorithm.length + 2 * at + 1]!);
      isGood = high >= 0 && low >= 0;
      this.chunkDigest[row * DIGEST_BYTES + at] = high * 16 + low;
    }
    if (!isGood)
      throw refuse(entry, 'unsupported', `digest ${JSON.stringify(sliceText(slice).slice(0, 90))} is not a sha256`);
  }

  #growChunkColumns(capacity: number): void {
    growColumns(this, chunkColumns, capacity);
    growColumns(this, ['chunkDigest'], capacity * DIGEST_BYTES);
  }
}

/** An integer from 0 to `limit`. */
function isWhole(value: number, limit: number): boolean {
  return value >= 0 && value <= limit;
}

function refuse(entry: TocEntry, code: FormatErrorCode, problem: string): FormatError {
  return new FormatError(code, problem, { entry: sliceText(entry.name) });
}
