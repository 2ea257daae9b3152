/**
 * The records a fanotify pre-content group reads and writes (linux/fanotify.h), little-endian:
 *
 *     event      0 u32 event_len   4 u8 version (3)   6 u16 metadata_len   8 u64 mask   16 s32 fd   20 s32 pid
 *     range      0 u8 type (6)   2 u16 len   8 u64 offset   16 u64 count          follows the event's metadata
 *     response   0 s32 fd   4 u32 verdict: 1 allow; 2 deny, with an errno in its highest byte
 */
export interface AccessEvent {
  /** Open on the file that is about to be read. Identifies the event in the response; to be closed afterwards. */
  readonly fd: number;
  readonly pid: number;
  /** The range about to be read; the whole file if the kernel reported no range. */
  readonly offset: number;
  readonly sizeBytes: number;
}

export const responseSizeBytes = 8;

const metadataBytes = 24;
const version = 3;
const rangeType = 6;
const rangeBytes = 24;
const noFd = -1;
const allow = 1;
const deny = 2;

/** Visits each event of one read(2). Throws RangeError on a record that contradicts its own lengths. */
export function readEvents(buffer: Buffer, length: number, visit: (event: AccessEvent) => void): void {
  let at = 0;
  while (at < length) {
    if (length - at < metadataBytes) throw new RangeError(`fanotify event of ${length - at} bytes is cut short`);
    const eventBytes = buffer.readUInt32LE(at);
    const headBytes = buffer.readUInt16LE(at + 6);
    if (buffer[at + 4] !== version || headBytes < metadataBytes || eventBytes < headBytes || at + eventBytes > length) {
      throw new RangeError(`fanotify event of version ${buffer[at + 4]} and ${eventBytes} bytes is not understood`);
    }
    const fd = buffer.readInt32LE(at + 16);
    if (fd !== noFd) {
      const range = findRange(buffer, at + headBytes, at + eventBytes);
      visit({ fd, pid: buffer.readInt32LE(at + 20), ...range });
    }
    at += eventBytes;
  }
}

function findRange(buffer: Buffer, start: number, end: number): { offset: number; sizeBytes: number } {
  for (let at = start; at + 4 <= end; ) {
    const recordBytes = buffer.readUInt16LE(at + 2);
    if (recordBytes < 4 || at + recordBytes > end) break;
    if (buffer[at] === rangeType && recordBytes >= rangeBytes) {
      return {
        offset: Number(buffer.readBigUInt64LE(at + 8)),
        sizeBytes: Number(buffer.readBigUInt64LE(at + 16)),
      };
    }
    at += recordBytes;
  }
  return { offset: 0, sizeBytes: Number.MAX_SAFE_INTEGER };
}

/**
 * Allows the event identified by `fd`, or denies it with `errno` (EIO, EAGAIN, ENOSPC, EBUSY, EPERM, ETXTBSY, EDQUOT).
 */
export function encodeResponse(response: Buffer, fd: number, errno?: number): Buffer {
  response.writeInt32LE(fd, 0);
  response.writeUInt32LE(errno === undefined ? allow : (deny | (errno << 24)) >>> 0, 4);
  return response;
}
