import { replyHeaderBytes, setUint64 } from './wire.ts';

/**
 * Notifications to the kernel: a reply header with unique 0 and the code in place of the error.
 *
 *     INVAL_INODE 2: nodeid u64 | offset i64 | length i64 (0: to the end)
 *     INVAL_ENTRY 3: parent u64 | namelen u32 | flags u32 | name, NUL
 *     RESEND 7:      no body (Linux 6.9)
 */
const notifyInvalInode = 2;
const notifyInvalEntry = 3;
const notifyResend = 7;

/** Invalidates an inode's attributes, pages and, for a directory, its listing. */
export function encodeInvalInode(slot: number, inode: number): Buffer {
  const message = allocate(notifyInvalInode, 24);
  message.writeUInt32LE(inode, replyHeaderBytes);
  message.writeUInt32LE(slot, replyHeaderBytes + 4);
  return message;
}

/** Invalidates a name of a directory, and everything cached below it. */
export function encodeInvalEntry(parentSlot: number, parentInode: number, name: string): Buffer {
  const nameBytes = Buffer.from(name);
  const message = allocate(notifyInvalEntry, 16 + nameBytes.length + 1);
  message.writeUInt32LE(parentInode, replyHeaderBytes);
  message.writeUInt32LE(parentSlot, replyHeaderBytes + 4);
  message.writeUInt32LE(nameBytes.length, replyHeaderBytes + 8);
  nameBytes.copy(message, replyHeaderBytes + 16);
  return message;
}

/** The kernel queues all requests again that were read but not answered, with the top bit of `unique` set. */
export function encodeResend(): Buffer {
  return allocate(notifyResend, 0);
}

function allocate(code: number, bodyBytes: number): Buffer {
  const message = Buffer.alloc(replyHeaderBytes + bodyBytes);
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  view.setUint32(0, message.length, true);
  view.setInt32(4, code, true);
  setUint64(view, 8, 0);
  return message;
}
