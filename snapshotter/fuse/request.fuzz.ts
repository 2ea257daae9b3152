import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '../../testkit/fuzz-target.ts';
import { createPlainLayer, type Entry } from '../bench/plain-layer.ts';
import { Dispatcher } from './dispatch.ts';
import { nameBody, readBody, writeRequest, xattrBody } from './testing/request.ts';
import { opcode, reply, replyHeaderBytes, request, requestHeaderBytes } from './wire.ts';

const slot = 3;
const maxBodyBytes = 4096;
const entries: Entry[] = [
  { path: '', mode: 0o040755 },
  { path: 'bin', mode: 0o120777, target: 'usr/bin' },
  { path: 'etc', mode: 0o040750, xattrs: { 'trusted.overlay.opaque': Buffer.from('y') } },
  { path: 'etc/passwd', mode: 0o100644, content: Buffer.from('root:x:0:0\n') },
  { path: 'etc/shadow', mode: 0o100600, content: Buffer.alloc(10_000, 's') },
];
const directory = mkdtempSync(join(tmpdir(), 'fuzz-fuse-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const layer = createPlainLayer(entries, join(directory, 'data'), 4096);
const input = Buffer.alloc(requestHeaderBytes + maxBodyBytes);
const output = Buffer.alloc(16 + 128 * 1024);
let misses: { readonly dataOffset: number; readonly sizeBytes: number }[] = [];
const dispatcher = new Dispatcher(input, output, {
  pread: (_, into, sizeBytes) => {
    assert.ok(replyHeaderBytes + sizeBytes <= into.length, 'the read exceeds the reply');
    return sizeBytes;
  },
  hit: () => {},
  miss: (miss) => void misses.push(miss),
  firstRead: () => {},
  interrupt: () => {},
  negotiated: () => {},
});
dispatcher.addLayer({ slot, table: layer.table, present: layer.bits, dataFd: layer.dataFd, seen: undefined });

const seed = (code: number, inode: number, body: Uint8Array): Buffer => {
  const buffer = Buffer.alloc(requestHeaderBytes + body.length);
  writeRequest(buffer, { opcode: code, inode, slot, body });
  return buffer;
};

export const targets: readonly FuzzTarget[] = [
  {
    name: 'fuse-request',
    seeds: [
      seed(opcode.LOOKUP, 1, nameBody('etc')),
      seed(opcode.READ, layer.inodeOf('etc/shadow'), readBody(4000, 5000)),
      seed(opcode.READDIR, 1, readBody(0, 4096)),
      seed(opcode.READDIRPLUS, 1, readBody(1, 4096)),
      seed(opcode.GETXATTR, layer.inodeOf('etc'), xattrBody(64, 'trusted.overlay.opaque')),
      seed(opcode.LISTXATTR, layer.inodeOf('etc'), xattrBody(0)),
      seed(opcode.READLINK, layer.inodeOf('bin'), Buffer.alloc(0)),
      seed(opcode.GETATTR, 1, Buffer.alloc(16)),
      ...Array.from({ length: 64 }, (_, code) => seed(code, 1, Buffer.alloc(64))),
    ],
    dictionary: ['etc\0', 'trusted.overlay.opaque\0', 'passwd\0', '\0'],
    repair(bytes) {
      if (bytes.length < requestHeaderBytes) return bytes;
      bytes.writeUInt32LE(bytes.length, request.length);
      bytes.writeUInt32LE(bytes.readUInt32LE(request.opcode) % 64, request.opcode);
      bytes.writeUInt32LE(bytes.readUInt32LE(request.nodeInode) % 8, request.nodeInode);
      bytes.writeUInt32LE(bytes.readUInt32LE(request.nodeSlot) % 2 === 0 ? slot : 0, request.nodeSlot);
      return bytes;
    },
    run(bytes) {
      const length = Math.min(bytes.length, input.length);
      input.set(bytes.subarray(0, length));
      misses = [];
      const replied = dispatcher.handle(length);
      for (const { dataOffset, sizeBytes } of misses)
        assert.ok(dataOffset >= 0 && dataOffset + sizeBytes <= layer.table.dataSizeBytes, 'a miss beyond the data');
      if (replied === 0) return;
      assert.ok(replied >= replyHeaderBytes && replied <= output.length, `a reply of ${replied} bytes`);
      assert.equal(output.readUInt32LE(reply.length), replied, 'a reply with a wrong length');
      const error = output.readInt32LE(reply.error);
      assert.ok(error <= 0 && error > -4096, `errno ${error}`);
      assert.ok(error === 0 || replied === replyHeaderBytes, 'an error with a body');
      assert.equal(
        output.readBigUInt64LE(reply.unique),
        input.readBigUInt64LE(request.unique),
        'a reply to a different request',
      );
    },
  },
];
