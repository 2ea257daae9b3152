import { noteFirstReads } from '../store/first-reads.ts';
import { isRangePresent } from '../store/presence.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import {
  findChild,
  findXattr,
  isDirectory,
  isSymlink,
  ROOT_INODE,
  writeLinkTarget,
  writeXattrList,
  writeXattrValue,
  xattrListSizeBytes,
} from '../tree/lookup.ts';
import {
  encodeAttrOut,
  encodeEntry,
  encodeNegativeEntry,
  encodeRootAttrOut,
  encodeRootEntry,
  entryOutBytes,
  forever,
  type Validity,
} from './attributes.ts';
import { encodeDirectory, encodeRootDirectory } from './directory.ts';
import { answerInit, type Negotiated } from './init.ts';
import {
  encodeReplyHeader,
  errno,
  getUint64,
  interruptIn,
  opcode,
  readIn,
  replyHeaderBytes,
  request,
  requestHeaderBytes,
  rootSlot,
  setUint64,
  statfsOut,
  xattrIn,
} from './wire.ts';

/** A layer as a worker sees it. */
export interface LayerView {
  readonly slot: number;
  readonly table: InodeTable;
  /** The layer's whole presence buffer (store/presence.ts). */
  readonly present: Int32Array;
  readonly dataFd: number;
  /** See store/first-reads.ts; shared by the workers. undefined: not recorded. */
  readonly seen: Int32Array | undefined;
}

/** What a dispatcher cannot do from tables alone. */
export interface DispatchEffects {
  /** Fills `reply` from `replyHeaderBytes` on with `sizeBytes` of the data file; the count, or minus an errno. */
  pread(dataFd: number, reply: Buffer, sizeBytes: number, dataOffset: number): number;
  /**
   * Sends the reply whose header is in `output`, followed by `sizeBytes` of the data file, without copying them through
   * this process. False: nothing was sent, so `pread` is needed. Absent: as if always false.
   */
  sendFromFile?(dataFd: number, sizeBytes: number, dataOffset: number): boolean;
  /** The bytes are missing: the main thread will reply. */
  miss(miss: Miss): void;
  firstRead(slot: number, dataOffset: number, sizeBytes: number): void;
  /** A read of present content. */
  hit(): void;
  /** A signal reached the thread that waits for this request. */
  interrupt(uniqueLow: number, uniqueHigh: number): void;
  negotiated(negotiated: Negotiated): void;
}

export interface Miss {
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly slot: number;
  readonly inode: number;
  readonly dataOffset: number;
  readonly sizeBytes: number;
  /** Thread that waits, in the mount's pid namespace; 0 for readahead. */
  readonly pid: number;
}

const noReply = 0;
const maxNameBytes = 255;
/** Below this, a second copy costs less than two more system calls. */
const minSplicedBytes = 64 * 1024;

/** Answers requests from tables; one per worker thread. Its only state is the layers that it was given. */
export class Dispatcher {
  readonly #layers = new Map<number, LayerView>();
  readonly #effects: DispatchEffects;
  readonly #validity: Validity;
  readonly #input: Buffer;
  readonly #in: DataView;
  readonly #output: Buffer;
  readonly #out: DataView;

  /** Requests are read into `input` before `handle` is called; replies are left in `output`. */
  constructor(input: Buffer, output: Buffer, effects: DispatchEffects, validity = forever) {
    this.#input = input;
    this.#in = new DataView(input.buffer, input.byteOffset, input.length);
    this.#output = output;
    this.#out = new DataView(output.buffer, output.byteOffset, output.length);
    this.#effects = effects;
    this.#validity = validity;
  }

  addLayer(layer: LayerView): void {
    this.#layers.set(layer.slot, layer);
  }

  removeLayer(slot: number): void {
    this.#layers.delete(slot);
  }

  /**
   * Handles the request in input[0, length); returns the length of the reply in `output`, 0 if there is none to send.
   */
  handle(length: number): number {
    if (length < requestHeaderBytes) return noReply;
    const slot = this.#in.getUint32(request.nodeSlot, true);
    const inode = this.#in.getUint32(request.nodeInode, true);
    const code = this.#in.getUint32(request.opcode, true);
    switch (code) {
      case opcode.LOOKUP:
        return this.#lookup(slot, inode, length);
      case opcode.GETATTR:
        return this.#getattr(slot, inode);
      case opcode.READ:
        return this.#read(slot, inode, length);
      case opcode.READDIR:
        return this.#readdir(slot, inode, length, undefined);
      case opcode.READDIRPLUS:
        return this.#readdir(slot, inode, length, this.#validity);
      case opcode.READLINK:
        return this.#readlink(slot, inode);
      case opcode.GETXATTR:
        return this.#getxattr(slot, inode, length);
      case opcode.LISTXATTR:
        return this.#listxattr(slot, inode, length);
      case opcode.STATFS:
        return this.#statfs();
      case opcode.INIT:
        return this.#init(length);
      case opcode.INTERRUPT:
        return this.#interrupt(length);
      case opcode.FORGET:
      case opcode.BATCH_FORGET:
      case opcode.NOTIFY_REPLY:
        return noReply;
      // RELEASE and RELEASEDIR only come where OPEN and OPENDIR were not answered with ENOSYS; DESTROY ends the
      // connection.
      case opcode.RELEASE:
      case opcode.RELEASEDIR:
      case opcode.DESTROY:
        return this.#succeed(replyHeaderBytes);
      case opcode.SETATTR:
      case opcode.SYMLINK:
      case opcode.MKNOD:
      case opcode.MKDIR:
      case opcode.UNLINK:
      case opcode.RMDIR:
      case opcode.RENAME:
      case opcode.RENAME2:
      case opcode.LINK:
      case opcode.WRITE:
      case opcode.SETXATTR:
      case opcode.REMOVEXATTR:
      case opcode.CREATE:
      case opcode.TMPFILE:
      case opcode.FALLOCATE:
      case opcode.COPY_FILE_RANGE:
      case opcode.COPY_FILE_RANGE_64:
        return this.#fail(errno.EROFS);
      // A copy-up's FS_IOC_GETFLAGS would fail with ENOSYS; ENOTTY is the answer of a file system without flags.
      case opcode.IOCTL:
        return this.#fail(errno.ENOTTY);
      // OPEN, OPENDIR, FLUSH, FSYNC, ACCESS, LSEEK and what later kernels add. After ENOSYS the kernel no longer sends
      // the operation and takes its default, which is right here: open without a handle and with caches kept, no flush,
      // a hole only at the end of a file.
      default:
        return this.#fail(errno.ENOSYS);
    }
  }

  /** An error reply to the request in `input`; for what went wrong outside of `handle`. */
  fail(error: number): number {
    return this.#fail(error);
  }

  #lookup(slot: number, parent: number, length: number): number {
    const start = requestHeaderBytes;
    const end = length - 1;
    if (end <= start || this.#input[end] !== 0) return this.#fail(errno.EINVAL);
    // The kernel does not check the length for FUSE.
    if (end - start > maxNameBytes) return this.#fail(errno.ENAMETOOLONG);
    if (slot === rootSlot) return this.#lookupLayer(start, end);
    const layer = this.#layers.get(slot);
    if (layer === undefined || !isInode(layer.table, parent)) return this.#fail(errno.ESTALE);
    const inode = this.#findName(layer.table, parent, start, end);
    if (inode === 0) encodeNegativeEntry(this.#out, replyHeaderBytes, this.#validity);
    else encodeEntry(this.#out, replyHeaderBytes, layer.table, slot, inode, this.#validity);
    return this.#succeed(replyHeaderBytes + entryOutBytes);
  }

  /** The kernel looks up `.` and `..` to decode file handles (EXPORT_SUPPORT). */
  #findName(table: InodeTable, parent: number, start: number, end: number): number {
    if (this.#input[start] === 0x2e) {
      if (end === start + 1) return parent;
      if (end === start + 2 && this.#input[start + 1] === 0x2e) return table.parent[parent]!;
    }
    return findChild(table, parent, this.#input, start, end);
  }

  /** No negative entry here: the name may become a layer at any time. */
  #lookupLayer(start: number, end: number): number {
    const name = this.#input.toString('latin1', start, end);
    if (name === '.' || name === '..') {
      encodeRootEntry(this.#out, replyHeaderBytes, this.#layers.size, this.#validity);
      return this.#succeed(replyHeaderBytes + entryOutBytes);
    }
    const layer = /^[1-9][0-9]{0,9}$/.test(name) ? this.#layers.get(Number(name)) : undefined;
    if (layer === undefined) return this.#fail(errno.ENOENT);
    encodeEntry(this.#out, replyHeaderBytes, layer.table, layer.slot, ROOT_INODE, this.#validity);
    return this.#succeed(replyHeaderBytes + entryOutBytes);
  }

  #getattr(slot: number, inode: number): number {
    if (slot === rootSlot) return this.#succeed(encodeRootAttrOut(this.#out, this.#layers.size, this.#validity));
    const layer = this.#layers.get(slot);
    if (layer === undefined || !isInode(layer.table, inode)) return this.#fail(errno.ESTALE);
    return this.#succeed(encodeAttrOut(this.#out, layer.table, slot, inode, this.#validity));
  }

  #read(slot: number, inode: number, length: number): number {
    const layer = this.#layers.get(slot);
    if (layer === undefined || !isInode(layer.table, inode)) return this.#fail(errno.ESTALE);
    if (length < readIn.end) return this.#fail(errno.EINVAL);
    const { table } = layer;
    const offset = getUint64(this.#in, readIn.offset);
    const asked = Math.min(this.#in.getUint32(readIn.size, true), this.#output.length - replyHeaderBytes);
    const sizeBytes = Math.min(asked, table.sizeBytes[inode]! - offset);
    if (sizeBytes <= 0 || table.chunkLength[inode] === 0) return this.#succeed(replyHeaderBytes);
    const dataOffset = table.dataOffset[inode]! + offset;
    if (layer.seen !== undefined)
      noteFirstReads(layer.seen, dataOffset, sizeBytes, (from, size) => this.#effects.firstRead(slot, from, size));
    if (!isRangePresent(table, layer.present, dataOffset, sizeBytes)) {
      this.#effects.miss({
        uniqueLow: this.#in.getUint32(request.unique, true),
        uniqueHigh: this.#in.getUint32(request.unique + 4, true),
        slot,
        inode,
        dataOffset,
        sizeBytes,
        pid: this.#in.getUint32(request.pid, true),
      });
      return noReply;
    }
    this.#effects.hit();
    if (sizeBytes >= minSplicedBytes && this.#effects.sendFromFile !== undefined) {
      this.#succeed(replyHeaderBytes + sizeBytes);
      if (this.#effects.sendFromFile(layer.dataFd, sizeBytes, dataOffset)) return noReply;
    }
    const count = this.#effects.pread(layer.dataFd, this.#output, sizeBytes, dataOffset);
    // A short read of a present range means a damaged data file. The kernel would fill the rest with zeros.
    return count === sizeBytes ? this.#succeed(replyHeaderBytes + sizeBytes) : this.#fail(errno.EIO);
  }

  #readdir(slot: number, inode: number, length: number, plus: Validity | undefined): number {
    if (length < readIn.end) return this.#fail(errno.EINVAL);
    const offset = getUint64(this.#in, readIn.offset);
    const asked = this.#in.getUint32(readIn.size, true);
    const end = Math.min(this.#output.length, replyHeaderBytes + asked);
    if (slot === rootSlot)
      return this.#succeed(
        encodeRootDirectory(this.#out, this.#output, replyHeaderBytes, end, offset, plus, this.#sortedLayers()),
      );
    const layer = this.#layers.get(slot);
    if (layer === undefined || !isInode(layer.table, inode)) return this.#fail(errno.ESTALE);
    if (!isDirectory(layer.table, inode)) return this.#fail(errno.ENOTDIR);
    return this.#succeed(
      encodeDirectory(this.#out, this.#output, replyHeaderBytes, end, offset, plus, layer.table, slot, inode),
    );
  }

  #sortedLayers(): LayerView[] {
    return [...this.#layers.values()].sort((left, right) => left.slot - right.slot);
  }

  #readlink(slot: number, inode: number): number {
    const layer = this.#layers.get(slot);
    if (layer === undefined || !isInode(layer.table, inode)) return this.#fail(errno.ESTALE);
    const { table } = layer;
    if (!isSymlink(table, inode)) return this.#fail(errno.EINVAL);
    return this.#succeed(writeLinkTarget(table, inode, this.#output, replyHeaderBytes));
  }

  #getxattr(slot: number, inode: number, length: number): number {
    const layer = this.#layers.get(slot);
    if (layer === undefined) return this.#fail(slot === rootSlot ? errno.ENODATA : errno.ESTALE);
    const { table } = layer;
    if (!isInode(table, inode)) return this.#fail(errno.ESTALE);
    if (length <= xattrIn.end) return this.#fail(errno.EINVAL);
    const row = table.xattrLength[inode] === 0 ? -1 : findXattr(table, inode, this.#input, xattrIn.end, length - 1);
    if (row < 0) return this.#fail(errno.ENODATA);
    const sizeBytes = table.xattrValueLength[row]!;
    const asked = this.#in.getUint32(xattrIn.size, true);
    if (asked === 0) return this.#succeedWithXattrSize(sizeBytes);
    if (asked < sizeBytes) return this.#fail(errno.ERANGE);
    return this.#succeed(writeXattrValue(table, row, this.#output, replyHeaderBytes));
  }

  #listxattr(slot: number, inode: number, length: number): number {
    if (length < xattrIn.end) return this.#fail(errno.EINVAL);
    const asked = this.#in.getUint32(xattrIn.size, true);
    const layer = this.#layers.get(slot);
    if (layer === undefined && slot !== rootSlot) return this.#fail(errno.ESTALE);
    const sizeBytes = layer !== undefined && isInode(layer.table, inode) ? xattrListSizeBytes(layer.table, inode) : 0;
    if (asked === 0) return this.#succeedWithXattrSize(sizeBytes);
    if (asked < sizeBytes) return this.#fail(errno.ERANGE);
    if (layer !== undefined && sizeBytes > 0) writeXattrList(layer.table, inode, this.#output, replyHeaderBytes);
    return this.#succeed(replyHeaderBytes + sizeBytes);
  }

  /** Zero blocks: `df` leaves out such a file system. */
  #statfs(): number {
    for (let at = replyHeaderBytes; at < statfsOut.end; at += 4) this.#out.setUint32(at, 0, true);
    this.#out.setUint32(statfsOut.blockSize, 4096, true);
    this.#out.setUint32(statfsOut.nameLength, maxNameBytes, true);
    this.#out.setUint32(statfsOut.fragmentSize, 4096, true);
    return this.#succeed(statfsOut.end);
  }

  #init(length: number): number {
    if (length < requestHeaderBytes + 16) return this.#fail(errno.EPROTO);
    const answer = answerInit(this.#in, this.#out);
    if (answer === undefined) return this.#fail(errno.EPROTO);
    if (answer.negotiated !== undefined) this.#effects.negotiated(answer.negotiated);
    return this.#succeed(answer.sizeBytes);
  }

  #interrupt(length: number): number {
    if (length < interruptIn.end) return noReply;
    const low = this.#in.getUint32(interruptIn.unique, true);
    this.#effects.interrupt(low, this.#in.getUint32(interruptIn.unique + 4, true));
    return noReply;
  }

  #succeedWithXattrSize(sizeBytes: number): number {
    setUint64(this.#out, replyHeaderBytes, sizeBytes);
    return this.#succeed(replyHeaderBytes + 8);
  }

  #succeed(sizeBytes: number): number {
    return this.#header(sizeBytes, 0);
  }

  #fail(error: number): number {
    return this.#header(replyHeaderBytes, error);
  }

  #header(sizeBytes: number, error: number): number {
    const low = this.#in.getUint32(request.unique, true);
    return encodeReplyHeader(this.#out, sizeBytes, error, low, this.#in.getUint32(request.unique + 4, true));
  }
}

function isInode(table: InodeTable, inode: number): boolean {
  return inode >= ROOT_INODE && inode <= table.inodeCount;
}
