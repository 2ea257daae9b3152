import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorOf, setUp } from './testing/dispatch-bench.ts';
import { readBody } from './testing/request.ts';
import { errno, opcode } from './wire.ts';

function namesOf(reply: Buffer, plus: boolean): { name: string; inode: number; next: number; nodeid: number }[] {
  const listed = [];
  for (let at = 16; at < reply.length; ) {
    const head = at + (plus ? 128 : 0);
    const length = reply.readUInt32LE(head + 16);
    listed.push({
      name: reply.toString('utf8', head + 24, head + 24 + length),
      inode: reply.readUInt32LE(head),
      next: reply.readUInt32LE(head + 8),
      nodeid: plus ? reply.readUInt32LE(at) : -1,
    });
    at = head + ((24 + length + 7) & ~7);
  }
  return listed;
}

for (const plus of [false, true])
  test(`READDIR${plus ? 'PLUS' : ''} lists a directory piece by piece, each name once`, () => {
    const { ask, layer } = setUp();
    const code = plus ? opcode.READDIRPLUS : opcode.READDIR;
    const names: string[] = [];
    for (let offset = 0; ; ) {
      const listed = namesOf(ask({ opcode: code, body: readBody(offset, plus ? 330 : 70) }), plus);
      if (listed.length === 0) break;
      assert.ok(listed.length <= 2);
      for (const { name, inode, nodeid } of listed) {
        names.push(name);
        if (name === '.' || name === '..') assert.ok(!plus || nodeid === 0);
        else {
          assert.equal(inode, layer.inodeOf(name));
          if (plus) assert.equal(nodeid, inode);
        }
      }
      offset = listed.at(-1)!.next;
    }
    assert.deepEqual(names, ['.', '..', 'bin', 'etc', 'gone', 'null', 'ping', 'pong']);
  });

test('the root lists layers by slot, and a READDIR continues at its offset when a layer was removed', () => {
  const { ask, dispatcher, layer } = setUp(30);
  for (const slot of [4, 100])
    dispatcher.addLayer({ slot, table: layer.table, present: layer.bits, dataFd: layer.dataFd, seen: undefined });
  const first = namesOf(ask({ opcode: opcode.READDIR, slot: 0, body: readBody(0, 4096) }), false);
  assert.deepEqual(
    first.map(({ name }) => name),
    ['.', '..', '4', '30', '100'],
  );
  dispatcher.removeLayer(4);
  const rest = namesOf(ask({ opcode: opcode.READDIR, slot: 0, body: readBody(first[2]!.next, 4096) }), false);
  assert.deepEqual(
    rest.map(({ name }) => name),
    ['30', '100'],
  );
});

test('READDIR of a file and READLINK of a directory are refused', () => {
  const { ask, layer } = setUp();
  const passwd = layer.inodeOf('etc/passwd');
  assert.equal(errorOf(ask({ opcode: opcode.READDIR, inode: passwd, body: readBody(0, 4096) })), errno.ENOTDIR);
  assert.equal(errorOf(ask({ opcode: opcode.READLINK })), errno.EINVAL);
  assert.equal(ask({ opcode: opcode.READLINK, inode: layer.inodeOf('bin') }).toString('utf8', 16), 'usr/bin');
});
