import { request, requestHeaderBytes, setUint64 } from '../wire.ts';

export interface RequestFields {
  readonly opcode: number;
  readonly slot?: number;
  readonly inode?: number;
  readonly unique?: number;
  readonly body?: Uint8Array;
}

/** Writes a request as the kernel would into `buffer`; returns its length. */
export function writeRequest(buffer: Buffer, fields: RequestFields): number {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  const body = fields.body ?? new Uint8Array(0);
  buffer.fill(0, 0, requestHeaderBytes);
  view.setUint32(request.length, requestHeaderBytes + body.length, true);
  view.setUint32(request.opcode, fields.opcode, true);
  setUint64(view, request.unique, fields.unique ?? 2);
  view.setUint32(request.nodeInode, fields.inode ?? 1, true);
  view.setUint32(request.nodeSlot, fields.slot ?? 0, true);
  buffer.set(body, requestHeaderBytes);
  return requestHeaderBytes + body.length;
}

export function nameBody(name: string): Buffer {
  return Buffer.from(`${name}\0`);
}

/** fuse_read_in, for READ, READDIR and READDIRPLUS. */
export function readBody(offset: number, sizeBytes: number): Buffer {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(BigInt(offset), 8);
  body.writeUInt32LE(sizeBytes, 16);
  return body;
}

export function xattrBody(sizeBytes: number, name?: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(sizeBytes, 0);
  return name === undefined ? head : Buffer.concat([head, nameBody(name)]);
}
