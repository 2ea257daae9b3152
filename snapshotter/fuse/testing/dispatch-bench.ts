import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { preadDescriptor } from '../../platform/syscalls.ts';
import type { Validity } from '../attributes.ts';
import { Dispatcher, type Miss } from '../dispatch.ts';
import type { Negotiated } from '../init.ts';
import { createPlainLayer, type Entry } from '../../bench/plain-layer.ts';
import { type RequestFields, writeRequest } from './request.ts';

const directory = mkdtempSync(join(tmpdir(), 'fuse-dispatch-'));
const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
  rmSync(directory, { recursive: true });
});

const entries: Entry[] = [
  { path: '', mode: 0o040755, mtimeSec: 5 },
  { path: 'bin', mode: 0o120777, target: 'usr/bin' },
  { path: 'etc', mode: 0o040750, uid: 7, gid: 8, xattrs: { 'trusted.overlay.opaque': Buffer.from('y') } },
  { path: 'etc/passwd', mode: 0o100644, content: Buffer.from('root:x:0:0\n'), mtimeSec: -1, mtimeNsec: 999 },
  { path: 'etc/shadow', mode: 0o100600, content: Buffer.alloc(10000, 's') },
  { path: 'etc/\u00e9t\u00e9', mode: 0o100644 },
  { path: 'gone', mode: 0o020000, rdev: 0 },
  { path: 'null', mode: 0o020666, rdev: 0x103 },
  {
    path: 'ping',
    mode: 0o104755,
    content: Buffer.from('elf'),
    xattrs: { 'security.capability': Buffer.from('0100000200200000', 'hex'), 'user.empty': Buffer.alloc(0) },
  },
  { path: 'pong', mode: 0o104755, linkTo: 'ping' },
];

/** A dispatcher over one layer of a few entries, asked without a kernel; its effects are `seen`. */
export function setUp(slot = 3, isRecording = false, validity?: Validity) {
  const layer = createPlainLayer(entries, join(directory, `data-${closers.length}`), 4096);
  closers.push(layer.close);
  const input = Buffer.alloc(8192);
  const output = Buffer.alloc(16 + 65536);
  const seen = {
    hits: 0,
    misses: [] as Miss[],
    firstReads: [] as number[][],
    interrupts: [] as number[][],
    negotiated: [] as Negotiated[],
  };
  const dispatcher = new Dispatcher(
    input,
    output,
    {
      pread: (fd, reply, sizeBytes, offset) => preadDescriptor(fd, reply.subarray(16), sizeBytes, offset),
      hit: () => void seen.hits++,
      miss: (miss) => seen.misses.push(miss),
      firstRead: (...read) => seen.firstReads.push(read),
      interrupt: (...unique) => seen.interrupts.push(unique),
      negotiated: (negotiated) => seen.negotiated.push(negotiated),
    },
    validity,
  );
  dispatcher.addLayer({
    slot,
    table: layer.table,
    present: layer.bits,
    dataFd: layer.dataFd,
    seen: isRecording ? new Int32Array(8) : undefined,
  });
  const ask = (fields: RequestFields): Buffer => {
    const length = dispatcher.handle(writeRequest(input, { slot, ...fields }));
    return Buffer.from(output.subarray(0, length));
  };
  return { layer, dispatcher, ask, seen, input, output, slot };
}

/** The errno of a reply. */
export const errorOf = (reply: Buffer) => Math.abs(reply.readInt32LE(4));
