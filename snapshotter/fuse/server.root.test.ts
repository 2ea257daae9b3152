import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { MNT_DETACH, unmountFilesystem } from '../platform/syscalls.ts';
import {
  cleanUp,
  directoryEntry,
  fillOnDemand,
  limit,
  output,
  root,
  runProgram,
  sampleTree,
  serve,
} from './testing/mounted-layer.ts';
import { createPlainLayer, entriesOfDirectory } from '../bench/plain-layer.ts';

test('a mounted tree equals the directory it was made from, as find, stat and tar see it', limit, async () => {
  const tree = sampleTree();
  await output('sh', '-c', 'cd "$0" && ln big big2 && mknod null c 1 3 && mkfifo pipe && chown 7:8 empty', tree);
  const { path, errors } = await serve(entriesOfDirectory(tree));
  const list =
    'cd "$0" && find . -type f -printf "%p %y %m %U %G %n %s %T@\\n" -o -printf "%p %y %m %U %G %l %T@\\n" | sort';
  assert.equal(await output('sh', '-c', list, path), await output('sh', '-c', list, tree));
  const sums = 'cd "$0" && tar cf - --sort=name --format=posix --pax-option=delete=atime,delete=ctime . | sha256sum';
  assert.equal(await output('sh', '-c', sums, path), await output('sh', '-c', sums, tree));
  assert.equal(await output('stat', '-c', '%t:%T', join(path, 'null')), '1:3');
  assert.deepEqual(errors, []);
});

test('no two files of two layers share a device and inode number', limit, async () => {
  const { server, layer, path, slot } = await serve(entriesOfDirectory(sampleTree()));
  const again = await server.addLayer(
    { slot: 1000, table: layer.table, present: layer.present, dataFd: layer.dataFd },
    { ensure: async () => {} },
  );
  const numbers = (await output('find', path, again, '-printf', '%D:%i\\n')).split('\n');
  assert.equal(new Set(numbers).size, numbers.length);
  assert.equal(await output('ls', '-v', server.mountpoint), `${slot}\n1000`);
});

test('the cached listing of the root follows added and removed layers', limit, async () => {
  const { server, layer } = await serve([directoryEntry, { path: 'here', mode: 0o100644 }]);
  const list = () => output('ls', '-v', server.mountpoint);
  const stat = (path: string) => execa('stat', [path], { reject: false });
  const first = await list();
  assert.equal((await stat(join(server.mountpoint, '5000'))).exitCode, 1);
  const fields = { table: layer.table, present: layer.present, dataFd: layer.dataFd };
  const path = await server.addLayer({ slot: 5000, ...fields }, { ensure: async () => {} });
  assert.equal(await list(), `${first}\n5000`);
  assert.equal((await stat(join(path, 'here'))).exitCode, 0);
  await server.removeLayer(5000);
  assert.equal((await stat(join(path, 'here'))).exitCode, 1);
  assert.equal(await list(), first);
  await assert.rejects(server.addLayer({ slot: 5000, ...fields }, { ensure: async () => {} }), { code: 'slot-used' });
});

test('two hundred layers at once are listed, read and removed', limit, async () => {
  const { server, layer } = await serve([directoryEntry, { path: 'here', mode: 0o100644, content: Buffer.from('x') }]);
  layer.fill();
  const fields = { table: layer.table, present: layer.present, dataFd: layer.dataFd };
  const slots = Array.from({ length: 200 }, (_, index) => 6000 + index);
  const paths: string[] = [];
  for (const slot of slots) paths.push(await server.addLayer({ slot, ...fields }, { ensure: async () => {} }));
  const files = paths.map((path) => join(path, 'here'));
  assert.equal(await output('cat', ...files), 'x'.repeat(200));
  await Promise.all(slots.map((slot) => server.removeLayer(slot)));
  assert.equal((await execa('stat', [files[199]!], { reject: false })).exitCode, 1);
});

test('overlayfs sees whiteouts, opaque directories and file capabilities, and copies up', limit, async () => {
  const opaque = { 'trusted.overlay.opaque': Buffer.from('y') };
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
  const lower = await serve([
    directoryEntry,
    { path: 'kept', mode: 0o100644, content: Buffer.from('old\n') },
    { path: 'hidden', mode: 0o100644, content: Buffer.from('x') },
    { path: 'dir', mode: 0o040755 },
    { path: 'dir/below', mode: 0o100644 },
  ]);
  const upper = createPlainLayer(
    [
      directoryEntry,
      { path: 'hidden', mode: 0o020000 },
      { path: 'dir', mode: 0o040755, xattrs: opaque },
      { path: 'dir/new', mode: 0o100644 },
      {
        path: 'ping',
        mode: 0o100755,
        content: Buffer.from('x'),
        xattrs: { 'security.capability': capability, 'user.note': Buffer.from('hello') },
      },
    ],
    join(root, 'upper-data'),
  );
  upper.fill();
  const top = await lower.server.addLayer(
    { slot: 900, table: upper.table, present: upper.present, dataFd: upper.dataFd },
    { ensure: async () => {} },
  );
  cleanUp(() => lower.server.removeLayer(900).then(upper.close));
  const base = join(root, 'overlay');
  for (const name of ['upper', 'work', 'merged']) mkdirSync(join(base, name), { recursive: true });
  const merged = join(base, 'merged');
  const layers = `lowerdir=${top}:${lower.path},upperdir=${join(base, 'upper')},workdir=${join(base, 'work')}`;
  await output('mount', '-t', 'overlay', 'overlay', '-o', layers, merged);
  cleanUp(() => unmountFilesystem(merged, MNT_DETACH));
  const script = 'cd "$0" && find . | sort && echo new >> kept && cat kept && rm dir/new && mv ping pong && ls . dir';
  const seen = (await output('sh', '-c', script, merged)).split('\n');
  assert.deepEqual(seen, [
    '.',
    './dir',
    './dir/new',
    './kept',
    './ping',
    'old',
    'new',
    '.:',
    'dir',
    'kept',
    'pong',
    '',
    'dir:',
  ]);
  const xattrs = await runProgram('print-xattrs.py', join(merged, 'pong'), 'security.capability');
  assert.match(xattrs, new RegExp(`^${capability.toString('hex')} `));
  assert.match(xattrs, /user\.note/);
});

test('a program can be executed and its pages mapped while their chunks are fetched', limit, async () => {
  const tree = sampleTree();
  const { path, layer } = await serve(entriesOfDirectory(tree), (layer) => fillOnDemand(layer, () => sleep(5)));
  // Through a shell: spawn blocks this thread until execve(2) has read the program.
  await output('sh', '-c', '"$0"', join(path, 'usr/bin/true'));
  const mapped = await runProgram('map-backwards.py', join(path, 'big'));
  assert.equal(mapped, (await output('sha256sum', join(tree, 'big'))).slice(0, 64));
  const present = layer.bits.subarray(0, layer.bits.length / 2).reduce((sum, word) => sum + popcount(word), 0);
  assert.ok(present > 0 && present < layer.table.chunkCount, 'only what was read was fetched');
});

test('reads past 4 GiB of a file and of the data file come from the right place', limit, async () => {
  const sizeBytes = 5 * 2 ** 30;
  const { path, layer } = await serve(
    [
      directoryEntry,
      { path: 'huge', mode: 0o100644, content: { path: '/dev/null', sizeBytes } },
      { path: 'tail', mode: 0o100644, content: Buffer.from('behind it\n') },
    ],
    (layer) => ({
      async ensure(dataOffset) {
        const mark = Buffer.alloc(64 * 1024, `@${dataOffset} `);
        const { writeSync } = await import('node:fs');
        if (dataOffset < sizeBytes) writeSync(layer.dataFd, mark, 0, mark.length, dataOffset);
        else layer.fill([layer.table.chunkCount - 1]);
      },
    }),
  );
  const at = 2 ** 32 + 4096 * 7;
  assert.equal(layer.table.dataOffset[layer.inodeOf('tail')], sizeBytes);
  assert.equal(await output('cat', join(path, 'tail')), 'behind it');
  const read = await output('dd', `if=${join(path, 'huge')}`, 'bs=4096', `skip=${at / 4096}`, 'count=1', 'status=none');
  assert.ok(read.startsWith(`@${at} @${at} `), read.slice(0, 40));
});

function popcount(word: number): number {
  let bits = 0;
  for (let rest = word >>> 0; rest > 0; rest >>>= 1) bits += rest & 1;
  return bits;
}
