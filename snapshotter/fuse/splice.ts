import {
  closePipe,
  errno,
  openPipe,
  type Pipe,
  SyscallError,
  spliceFromFile,
  spliceFromPipe,
  writeDescriptor,
} from '../platform/syscalls.ts';
import { maxReadBytes } from './init.ts';
import { replyHeaderBytes } from './wire.ts';

/** Room for every reply; or what is allowed without CAP_SYS_RESOURCE (pipe(7), pipe-max-size). */
const pipeSizesBytes = [2 * maxReadBytes, 1 << 20];
/** A pipe buffer is a page: one for the header, and one more if the data is not page-aligned. */
const reservedBytes = 2 * 4096;

/**
 * Sends replies whose data goes by reference from the data file's page cache to FUSE; the remaining copy is the
 * kernel's, into the page cache of the mount. Owns a pipe, so each thread needs its own.
 */
export class ReplySplicer {
  readonly #fuseFd: number;
  #pipe: Pipe | undefined;

  constructor(fuseFd: number) {
    this.#fuseFd = fuseFd;
    this.#pipe = tryOpenPipe();
  }

  /** False: nothing was sent, and the request still needs a reply. */
  send(header: Uint8Array, dataFd: number, sizeBytes: number, dataOffset: number): boolean {
    const pipe = this.#pipe;
    if (pipe === undefined || sizeBytes > pipe.sizeBytes - reservedBytes) return false;
    let filled = writeDescriptor(pipe.writeFd, header, replyHeaderBytes) === replyHeaderBytes ? 0 : -1;
    while (filled >= 0 && filled < sizeBytes) {
      const count = spliceFromFile(dataFd, dataOffset + filled, pipe, sizeBytes - filled);
      filled = count > 0 ? filled + count : -1;
    }
    const totalBytes = replyHeaderBytes + sizeBytes;
    // The kernel takes a reply in one piece or not at all.
    const sent = filled === sizeBytes ? spliceFromPipe(pipe, this.#fuseFd, totalBytes) : -errno.EIO;
    if (sent === totalBytes) return true;
    // The pipe may hold a part of this reply.
    closePipe(pipe);
    this.#pipe = tryOpenPipe();
    // ENOENT: the request was interrupted, and needs no reply.
    return sent === -errno.ENOENT;
  }

  close(): void {
    if (this.#pipe !== undefined) closePipe(this.#pipe);
    this.#pipe = undefined;
  }
}

/** undefined if no pipe can be opened: then replies are copied. */
function tryOpenPipe(): Pipe | undefined {
  for (const sizeBytes of pipeSizesBytes) {
    try {
      return openPipe(sizeBytes);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
    }
  }
  return undefined;
}
