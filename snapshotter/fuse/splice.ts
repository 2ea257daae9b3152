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

/** Room for every reply; the second is what is allowed without CAP_SYS_RESOURCE (pipe(7), pipe-max-size). */
const pipeSizesBytes = [2 * maxReadBytes, 1 << 20];
/** A slot of a pipe is a page: one for the header, and one more where the data does not begin on a page. */
const reservedBytes = 2 * 4096;

/**
 * Replies whose data goes from the data file's page cache to the kernel by reference: the one copy that is left is the
 * kernel's own, into the page cache of the mount. Owns a pipe; each thread needs its own.
 */
export class ReplySplicer {
  readonly #fuseFd: number;
  #pipe: Pipe | undefined;

  constructor(fuseFd: number) {
    this.#fuseFd = fuseFd;
    this.#pipe = tryOpenPipe();
  }

  /** True if the request needs no other reply. False: none was sent, the range may not be readable whole. */
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
    // What may be left in the pipe must not come before the next reply.
    closePipe(pipe);
    this.#pipe = tryOpenPipe();
    // ENOENT: nobody waits for this reply any more.
    return sent === -errno.ENOENT;
  }

  close(): void {
    if (this.#pipe !== undefined) closePipe(this.#pipe);
    this.#pipe = undefined;
  }
}

/** undefined where no pipe is to be had, or no descriptor is left: then replies are copied. */
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
