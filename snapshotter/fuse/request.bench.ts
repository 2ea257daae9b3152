import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from 'tinybench';
import { preadDescriptor } from '../platform/syscalls.ts';
import { Dispatcher } from './dispatch.ts';
import { createPlainLayer, type Entry } from '../bench/plain-layer.ts';
import { nameBody, type RequestFields, readBody, writeRequest, xattrBody } from './testing/request.ts';
import { opcode } from './wire.ts';

/** What a worker does for a request between read(2) and write(2), on a directory of 1,000 files. */
export function register(bench: Bench): () => void {
  const entries: Entry[] = [{ path: '', mode: 0o040755 }];
  for (let i = 0; i < 1000; i++) entries.push({ path: `file-${i}`, mode: 0o100644, content: Buffer.alloc(i, 'x') });
  entries.push({ path: 'large', mode: 0o100644, content: Buffer.alloc(1 << 20, 'y') });
  const directory = mkdtempSync(join(tmpdir(), 'fuse-bench-'));
  const layer = createPlainLayer(entries, join(directory, 'data'));
  // The descriptor keeps the data.
  rmSync(directory, { recursive: true });
  layer.fill();
  const input = Buffer.alloc(8192);
  const output = Buffer.alloc(16 + (1 << 20));
  const body = output.subarray(16);
  const dispatcher = new Dispatcher(input, output, {
    pread: (fd, _reply, sizeBytes, offset) => preadDescriptor(fd, body, sizeBytes, offset),
    hit() {},
    miss() {},
    firstRead() {},
    interrupt() {},
    negotiated() {},
  });
  const slot = 1;
  dispatcher.addLayer({
    slot,
    table: layer.table,
    present: layer.bits,
    dataFd: layer.dataFd,
    seen: undefined,
  });
  const add = (name: string, fields: RequestFields): void => {
    const length = writeRequest(input, { slot, ...fields });
    const request = Buffer.from(input.subarray(0, length));
    bench.add(
      `FUSE ${name}`,
      () => {
        if (dispatcher.handle(length) === 0) throw new Error(`${name}: no reply`);
      },
      { beforeAll: () => void request.copy(input) },
    );
  };
  const inode = layer.inodeOf('file-500');
  add('LOOKUP, one of 1,000 names', { opcode: opcode.LOOKUP, body: nameBody('file-500') });
  add('LOOKUP, a name that is not there', { opcode: opcode.LOOKUP, body: nameBody('file-5000') });
  add('GETATTR', { opcode: opcode.GETATTR, inode });
  add('GETXATTR, absent', { opcode: opcode.GETXATTR, inode, body: xattrBody(0, 'security.capability') });
  add('READDIRPLUS, 4 KiB', { opcode: opcode.READDIRPLUS, body: readBody(500, 4096) });
  add('READ, 500 bytes present', { opcode: opcode.READ, inode, body: readBody(0, 4096) });
  add('READ, 128 KiB present', { opcode: opcode.READ, inode: layer.inodeOf('large'), body: readBody(0, 131072) });
  return layer.close;
}
