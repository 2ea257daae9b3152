import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dispatcher } from './dispatch.ts';
import { errorOf, setUp } from './testing/dispatch-bench.ts';
import { nameBody, type RequestFields, readBody, writeRequest, xattrBody } from './testing/request.ts';
import { errno, opcode } from './wire.ts';

test('LOOKUP answers an entry byte for byte', () => {
  const { ask, layer } = setUp();
  const inode = layer.inodeOf('etc/passwd');
  const reply = ask({ opcode: opcode.LOOKUP, inode: layer.inodeOf('etc'), unique: 0x102, body: nameBody('passwd') });
  const node = `0${inode}00000003000000`;
  assert.equal(
    reply.toString('hex'),
    '90000000' +
      '00000000' +
      '0201000000000000' + // header
      node +
      '0000000000000000' +
      '0000004000000000' +
      '0000004000000000' +
      '0000000000000000' + // nodeid ... nsecs
      node +
      '0b00000000000000' +
      '0100000000000000' +
      'ffffffffffffffff'.repeat(3) + // ino size blocks times
      'e7030000'.repeat(3) +
      'a4810000' +
      '01000000' +
      '00000000' +
      '00000000' +
      '00000000' +
      '00100000' +
      '00000000',
  );
});

test('LOOKUP of an absent name gets a negative entry that the kernel may cache', () => {
  const { ask } = setUp();
  const reply = ask({ opcode: opcode.LOOKUP, body: nameBody('nowhere') });
  assert.equal(reply.length, 16 + 128);
  assert.equal(errorOf(reply), 0);
  assert.equal(reply.readBigUInt64LE(16), 0n, 'nodeid 0');
  assert.equal(reply.readBigUInt64LE(32), 1n << 30n, 'entry_valid');
});

test('entries and attributes carry the configured validity', () => {
  const { ask, layer } = setUp(3, false, { attrSec: 7, entrySec: 5 });
  const inode = layer.inodeOf('etc');
  const validity = (reply: Buffer, at: number) => [reply.readBigUInt64LE(at + 16), reply.readBigUInt64LE(at + 24)];
  assert.deepEqual(validity(ask({ opcode: opcode.LOOKUP, body: nameBody('etc') }), 16), [5n, 7n]);
  assert.equal(ask({ opcode: opcode.LOOKUP, body: nameBody('nowhere') }).readBigUInt64LE(32), 5n);
  assert.equal(ask({ opcode: opcode.GETATTR, inode }).readBigUInt64LE(16), 7n);
  const listed = ask({ opcode: opcode.READDIRPLUS, inode, body: readBody(2, 4096) });
  assert.deepEqual(validity(listed, 16), [5n, 7n]);
  const root = { slot: 0, inode: 1 };
  assert.deepEqual(validity(ask({ ...root, opcode: opcode.LOOKUP, body: nameBody('3') }), 16), [5n, 7n]);
  assert.equal(ask({ ...root, opcode: opcode.GETATTR }).readBigUInt64LE(16), 7n);
});

test('LOOKUP finds every name of a directory, including non-ASCII ones, `.` and `..`', () => {
  const { ask, layer } = setUp();
  const etc = layer.inodeOf('etc');
  for (const [name, inode] of [
    ['passwd', layer.inodeOf('etc/passwd')],
    ['shadow', layer.inodeOf('etc/shadow')],
    ['\u00e9t\u00e9', layer.inodeOf('etc/\u00e9t\u00e9')],
    ['.', etc],
    ['..', 1],
  ] as const) {
    const reply = ask({ opcode: opcode.LOOKUP, inode: etc, body: nameBody(name) });
    assert.equal(reply.readUInt32LE(16), inode, name);
  }
  assert.equal(
    ask({ opcode: opcode.LOOKUP, inode: 1, body: nameBody('pong') }).readUInt32LE(16),
    layer.inodeOf('ping'),
  );
});

test('LOOKUP of a name over 255 bytes fails with ENAMETOOLONG', () => {
  const { ask } = setUp();
  const lookUp = (length: number) => ask({ opcode: opcode.LOOKUP, inode: 1, body: nameBody('n'.repeat(length)) });
  assert.equal(errorOf(lookUp(255)), 0);
  assert.equal(errorOf(lookUp(256)), errno.ENAMETOOLONG);
});

test('the root finds layers by slot, and other names get no negative entry', () => {
  const { ask, dispatcher, slot } = setUp(12);
  const root = { slot: 0, inode: 1 };
  const found = ask({ ...root, opcode: opcode.LOOKUP, body: nameBody('12') });
  assert.equal(found.readUInt32LE(16), 1);
  assert.equal(found.readUInt32LE(20), 12);
  for (const name of ['13', '012', '12x', '', '0', '99999999999'])
    assert.notEqual(errorOf(ask({ ...root, opcode: opcode.LOOKUP, body: nameBody(name) })), 0, name);
  assert.equal(errorOf(ask({ ...root, opcode: opcode.LOOKUP, body: nameBody('13') })), errno.ENOENT);
  const attributes = ask({ ...root, opcode: opcode.GETATTR });
  assert.equal(attributes.readUInt32LE(16 + 16 + 60), 0o040755);
  dispatcher.removeLayer(slot);
  assert.equal(errorOf(ask({ ...root, opcode: opcode.LOOKUP, body: nameBody('12') })), errno.ENOENT);
});

test('GETATTR carries mode, owner, device and link count', () => {
  const { ask, layer } = setUp();
  const attribute = (path: string, at: number) =>
    ask({ opcode: opcode.GETATTR, inode: layer.inodeOf(path) }).readUInt32LE(16 + 16 + at);
  assert.equal(attribute('etc', 60), 0o040750);
  assert.equal(attribute('etc', 68), 7);
  assert.equal(attribute('etc', 72), 8);
  assert.equal(attribute('null', 76), 0x103);
  assert.equal(attribute('gone', 60), 0o020000, 'a whiteout is a character device 0:0');
  assert.equal(attribute('gone', 76), 0);
  assert.equal(attribute('pong', 64), 2);
});

test('READ of present bytes fills the reply, up to the end of the file', () => {
  const { ask, layer, seen } = setUp();
  layer.fill();
  const inode = layer.inodeOf('etc/shadow');
  const whole = ask({ opcode: opcode.READ, inode, body: readBody(0, 65536) });
  assert.equal(whole.readUInt32LE(0), 16 + 10000);
  assert.deepEqual(whole.subarray(16), Buffer.alloc(10000, 's'));
  assert.equal(ask({ opcode: opcode.READ, inode, body: readBody(9990, 4096) }).length, 16 + 10);
  assert.equal(ask({ opcode: opcode.READ, inode, body: readBody(10000, 4096) }).length, 16);
  assert.equal(ask({ opcode: opcode.READ, inode, body: readBody(2 ** 40, 4096) }).length, 16);
  assert.equal(
    ask({ opcode: opcode.READ, inode: layer.inodeOf('etc/\u00e9t\u00e9'), body: readBody(0, 9) }).length,
    16,
  );
  assert.deepEqual(seen.misses, []);
});

test('READ of a missing chunk is not answered but reported with its range of the data file', () => {
  const { ask, layer, seen, slot } = setUp();
  const inode = layer.inodeOf('etc/shadow');
  const first = layer.table.firstChunk[inode]!;
  layer.fill([first, first + 2]);
  assert.equal(ask({ opcode: opcode.READ, inode, body: readBody(0, 4096) }).length, 16 + 4096);
  const asked = { opcode: opcode.READ, inode, unique: 2 ** 33 + 6, body: readBody(4000, 200) };
  assert.equal(ask(asked).length, 0);
  assert.deepEqual(seen.misses, [
    {
      uniqueLow: 6,
      uniqueHigh: 2,
      slot,
      inode,
      dataOffset: layer.table.dataOffset[inode]! + 4000,
      sizeBytes: 200,
      pid: 0,
    },
  ]);
  assert.equal(ask({ opcode: opcode.READ, inode, body: readBody(8192, 4096) }).length, 16 + 1808);
});

test('a data file that is too short gives EIO, never zeros', () => {
  const { ask, layer, input, output, slot } = setUp();
  layer.fill();
  const short = new Dispatcher(input, output, {
    pread: () => 1,
    hit() {},
    miss() {},
    firstRead() {},
    interrupt() {},
    negotiated() {},
  });
  short.addLayer({ slot, table: layer.table, present: layer.bits, dataFd: layer.dataFd, seen: undefined });
  const length = short.handle(
    writeRequest(input, { opcode: opcode.READ, slot, inode: layer.inodeOf('etc/shadow'), body: readBody(0, 4096) }),
  );
  assert.equal(length, 16);
  assert.equal(errorOf(output), errno.EIO);
  assert.equal(ask({ opcode: opcode.READ, inode: layer.inodeOf('etc/passwd'), body: readBody(0, 99) }).length, 16 + 11);
});

test('a large READ is spliced from the data file, or copied where that fails', () => {
  const { layer, input, output, slot } = setUp();
  const table = { ...layer.table, sizeBytes: layer.table.sizeBytes.map(() => 65536) };
  const sent: number[][] = [];
  let isPossible = true;
  const effects = {
    pread: () => 65536,
    sendFromFile: (...range: [number, number, number]) => {
      sent.push([...range, output.readUInt32LE(0)]);
      return isPossible;
    },
    hit() {},
    miss() {},
    firstRead() {},
    interrupt() {},
    negotiated() {},
  };
  layer.fill();
  const dispatcher = new Dispatcher(input, output, effects);
  dispatcher.addLayer({ slot, table, present: layer.bits, dataFd: layer.dataFd, seen: undefined });
  const inode = layer.inodeOf('etc/passwd');
  const read = (sizeBytes: number) =>
    dispatcher.handle(writeRequest(input, { opcode: opcode.READ, slot, inode, body: readBody(0, sizeBytes) }));
  assert.equal(read(65536), 0, 'replied to already');
  assert.deepEqual(sent, [[layer.dataFd, 65536, layer.table.dataOffset[inode]!, 16 + 65536]]);
  isPossible = false;
  assert.equal(read(65536), 16 + 65536);
  assert.equal(sent.length, 2);
});

test('the first read of each page is reported once, and each read of present content counts as a hit', () => {
  const { ask, layer, seen, slot } = setUp(3, true);
  layer.fill();
  const shadow = layer.inodeOf('etc/shadow');
  const passwd = layer.inodeOf('etc/passwd');
  const { dataOffset, sizeBytes } = layer.table;
  for (const [inode, offset] of [
    [shadow, 8192],
    [passwd, 0],
    [shadow, 0],
    [shadow, 8200],
  ] as const)
    ask({ opcode: opcode.READ, inode, body: readBody(offset, 100) });
  assert.deepEqual(seen.firstReads, [
    [slot, dataOffset[shadow]! + 8192, 100],
    [slot, dataOffset[passwd]!, sizeBytes[passwd]],
    [slot, dataOffset[shadow]!, 100],
  ]);
  assert.equal(seen.hits, 4);
});

test('GETXATTR and LISTXATTR: value, size, ERANGE, ENODATA and the list', () => {
  const { ask, layer } = setUp();
  const get = (path: string, size: number, name: string) =>
    ask({ opcode: opcode.GETXATTR, inode: layer.inodeOf(path), body: xattrBody(size, name) });
  assert.equal(get('etc', 10, 'trusted.overlay.opaque').toString('utf8', 16), 'y');
  assert.equal(get('ping', 64, 'security.capability').toString('hex', 16), '0100000200200000');
  assert.equal(get('ping', 0, 'security.capability').readUInt32LE(16), 8);
  assert.equal(errorOf(get('ping', 7, 'security.capability')), errno.ERANGE);
  assert.equal(get('ping', 7, 'user.empty').length, 16);
  assert.equal(errorOf(get('ping', 7, 'user.empt')), errno.ENODATA);
  assert.equal(errorOf(get('ping', 7, 'user.emptyy')), errno.ENODATA);
  assert.equal(errorOf(get('etc/passwd', 10, 'trusted.overlay.opaque')), errno.ENODATA);
  const list = (size: number) => ask({ opcode: opcode.LISTXATTR, inode: layer.inodeOf('ping'), body: xattrBody(size) });
  assert.equal(list(0).readUInt32LE(16), 31);
  assert.equal(list(100).toString('latin1', 16), 'security.capability\0user.empty\0');
  assert.equal(errorOf(list(30)), errno.ERANGE);
  assert.equal(errorOf(ask({ opcode: opcode.GETXATTR, slot: 0, body: xattrBody(9, 'x') })), errno.ENODATA);
});

test('writing operations fail with EROFS; OPEN, FLUSH and unknown ones with ENOSYS', () => {
  const { ask } = setUp();
  for (const name of ['SETATTR', 'MKDIR', 'UNLINK', 'RENAME2', 'WRITE', 'CREATE', 'SETXATTR', 'FALLOCATE'] as const)
    assert.equal(errorOf(ask({ opcode: opcode[name] })), errno.EROFS, name);
  for (const code of [opcode.OPEN, opcode.OPENDIR, opcode.FLUSH, opcode.ACCESS, opcode.LSEEK, 999])
    assert.equal(errorOf(ask({ opcode: code })), errno.ENOSYS, String(code));
  assert.equal(errorOf(ask({ opcode: opcode.IOCTL })), errno.ENOTTY);
});

test('FORGET, BATCH_FORGET and INTERRUPT are never answered', () => {
  const { ask, seen } = setUp();
  assert.equal(ask({ opcode: opcode.FORGET, body: Buffer.alloc(8) }).length, 0);
  assert.equal(ask({ opcode: opcode.BATCH_FORGET, body: Buffer.alloc(24) }).length, 0);
  assert.equal(ask({ opcode: opcode.INTERRUPT, body: Buffer.from('0600000002000000', 'hex') }).length, 0);
  assert.deepEqual(seen.interrupts, [[6, 2]]);
});

test('nodes of a removed layer and inodes out of range are stale', () => {
  const { ask, layer, dispatcher, slot } = setUp();
  const beyond = layer.table.inodeCount + 1;
  const requests: RequestFields[] = [
    { opcode: opcode.GETATTR },
    { opcode: opcode.LOOKUP, body: nameBody('etc') },
    { opcode: opcode.READ, body: readBody(0, 10) },
    { opcode: opcode.READDIRPLUS, body: readBody(0, 4096) },
    { opcode: opcode.READLINK },
    { opcode: opcode.GETXATTR, body: xattrBody(9, 'user.x') },
  ];
  for (const fields of requests)
    for (const inode of [0, beyond, 0xffffffff])
      assert.equal(errorOf(ask({ ...fields, inode })), errno.ESTALE, `${fields.opcode} ${inode}`);
  dispatcher.removeLayer(slot);
  for (const fields of requests) assert.equal(errorOf(ask(fields)), errno.ESTALE, String(fields.opcode));
});

test('truncated requests are refused without reading past their end', () => {
  const { ask, dispatcher, input } = setUp();
  assert.equal(dispatcher.handle(39), 0);
  for (const code of [
    opcode.READ,
    opcode.READDIR,
    opcode.READDIRPLUS,
    opcode.LOOKUP,
    opcode.GETXATTR,
    opcode.LISTXATTR,
  ])
    assert.equal(errorOf(ask({ opcode: code, body: Buffer.alloc(1, 0x61) })), errno.EINVAL, String(code));
  assert.equal(errorOf(ask({ opcode: opcode.INIT, body: Buffer.alloc(4) })), errno.EPROTO);
  assert.ok(input.length > 0);
});

test('STATFS reports the limits, and no blocks or files', () => {
  const { ask } = setUp();
  const reply = ask({ opcode: opcode.STATFS });
  assert.equal(reply.length, 96);
  assert.equal(reply.readBigUInt64LE(16), 0n);
  assert.equal(reply.readUInt32LE(16 + 40), 4096);
  assert.equal(reply.readUInt32LE(16 + 44), 255);
});
