import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import koffi from 'koffi';
import { MNT_DETACH, unmountFilesystem } from '../syscalls.ts';
import { findMount } from './device.ts';
import type { FuseError } from './error.ts';
import { type FuseOptions, FuseServer, type LayerReader } from './server.ts';
import { createPlainLayer, type Entry, entriesOfDirectory, type PlainLayer } from './testing/plain-layer.ts';

/** Whatever looks into the mount is a child process: this one is the server, and would wait for itself. */

const duplicate = koffi.load(null).func('int dup(int fd)');
const limit = { timeout: 60_000 };
const root = mkdtempSync(join(tmpdir(), 'fuse-server-'));
let cleanups: (() => unknown)[] = [];
let count = 0;

afterEach(async () => {
  const todo = cleanups.reverse();
  cleanups = [];
  for (const cleanup of todo) await cleanup();
});
after(() => rmSync(root, { recursive: true, force: true }));

interface Mounted {
  readonly server: FuseServer;
  readonly layer: PlainLayer;
  readonly path: string;
  readonly errors: unknown[];
}

/** A mount with one layer. Without a reader, everything is present. */
async function serve(
  entries: readonly Entry[],
  reader?: (layer: PlainLayer) => LayerReader,
  options: FuseOptions = {},
) {
  const base = join(root, String(++count));
  mkdirSync(base);
  const layer = createPlainLayer(entries, join(base, 'data'), 64 * 1024);
  if (reader === undefined) layer.fill();
  const errors: unknown[] = [];
  const server = await FuseServer.mount(join(base, 'mnt'), { onError: (error) => errors.push(error), ...options });
  cleanups.push(async () => {
    await server.close();
    layer.close();
  });
  const path = await server.addLayer(
    { slot: count, table: layer.table, present: layer.present, dataFd: layer.dataFd },
    reader?.(layer) ?? { ensure: () => Promise.reject(new Error('nothing should be missing')) },
  );
  return { server, layer, path, errors } satisfies Mounted;
}

async function output(command: string, ...args: string[]): Promise<string> {
  return (await execa(command, args, { timeout: 30_000 })).stdout;
}

/** Fills chunks that a read needs, when it is called. */
function fillOnDemand(layer: PlainLayer, before: () => Promise<void> = async () => {}): LayerReader {
  return {
    async ensure(dataOffset, sizeBytes) {
      await before();
      const { chunkDataOffset, chunkSizeBytes, chunkCount } = layer.table;
      const chunks = Array.from({ length: chunkCount }, (_, chunk) => chunk);
      layer.fill(
        chunks.filter(
          (chunk) =>
            chunkDataOffset[chunk]! < dataOffset + sizeBytes &&
            chunkDataOffset[chunk]! + chunkSizeBytes[chunk]! > dataOffset,
        ),
      );
    },
  };
}

function sampleTree(): string {
  const tree = join(root, `tree-${++count}`);
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  mkdirSync(join(tree, 'many'));
  copyFileSync('/bin/true', join(tree, 'usr/bin/true'));
  chmodSync(join(tree, 'usr/bin/true'), 0o4755);
  writeFileSync(join(tree, 'big'), randomBytes(3 << 20));
  writeFileSync(join(tree, 'empty'), '');
  for (let i = 0; i < 500; i++) writeFileSync(join(tree, 'many', `file-${i}`), `content ${i}`);
  symlinkSync('usr/bin', join(tree, 'bin'));
  return tree;
}

const directoryEntry: Entry = { path: '', mode: 0o040755 };

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
  const { server, layer, path } = await serve(entriesOfDirectory(sampleTree()));
  const again = await server.addLayer(
    { slot: 1000, table: layer.table, present: layer.present, dataFd: layer.dataFd },
    { ensure: async () => {} },
  );
  const numbers = (await output('find', path, again, '-printf', '%D:%i\\n')).split('\n');
  assert.equal(new Set(numbers).size, numbers.length);
  assert.equal(await output('ls', '-v', server.mountpoint), `${count}\n1000`);
});

test('names come and go: a listed root shows a layer that is added and loses one that is removed', limit, async () => {
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
  cleanups.push(() => lower.server.removeLayer(900).then(upper.close));
  const base = join(root, 'overlay');
  for (const name of ['upper', 'work', 'merged']) mkdirSync(join(base, name), { recursive: true });
  const merged = join(base, 'merged');
  const layers = `lowerdir=${top}:${lower.path},upperdir=${join(base, 'upper')},workdir=${join(base, 'work')}`;
  await output('mount', '-t', 'overlay', 'overlay', '-o', layers, merged);
  cleanups.push(() => unmountFilesystem(merged, MNT_DETACH));
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
  const python = 'import os, sys; f = sys.argv[1]; print(os.getxattr(f, "security.capability").hex(), os.listxattr(f))';
  const xattrs = await output('python3', '-c', python, join(merged, 'pong'));
  assert.match(xattrs, new RegExp(`^${capability.toString('hex')} `));
  assert.match(xattrs, /user\.note/);
});

test('a program is executed and its pages are mapped from chunks that come only then', limit, async () => {
  const tree = sampleTree();
  const { path, layer } = await serve(entriesOfDirectory(tree), (layer) => fillOnDemand(layer, () => sleep(5)));
  // By way of a shell: spawn itself waits, on this thread, until the program was read.
  await output('sh', '-c', '"$0"', join(path, 'usr/bin/true'));
  const python = `import mmap, sys, hashlib
f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
order = list(range(0, len(m), 4096)); order.reverse()
for at in order: m[at]
print(hashlib.sha256(m).hexdigest())`;
  const mapped = await output('python3', '-c', python, join(path, 'big'));
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

test('many readers wait at once, and present data is served while they do', limit, async () => {
  const gate = Promise.withResolvers<void>();
  const entries: Entry[] = [directoryEntry];
  for (let i = 0; i < 20; i++) entries.push({ path: `f${i}`, mode: 0o100644, content: Buffer.from(`content ${i}\n`) });
  const { path, server, layer } = await serve(entries, (layer) => fillOnDemand(layer, () => gate.promise));
  layer.fill([0]);
  const readers = Array.from({ length: 19 }, (_, i) => output('cat', join(path, `f${i + 1}`)));
  while (server.pendingReads < 19) await sleep(5);
  assert.equal(await output('cat', join(path, 'f0')), 'content 0');
  gate.resolve();
  assert.deepEqual(
    await Promise.all(readers),
    Array.from({ length: 19 }, (_, i) => `content ${i + 1}`),
  );
  assert.equal(server.pendingReads, 0);
});

test('a read whose data cannot be had fails with EIO and is logged, and a later one may succeed', limit, async () => {
  let isBroken = true;
  const entries = [directoryEntry, { path: 'f', mode: 0o100644, content: Buffer.from('now\n') }];
  const { path, errors } = await serve(entries, (layer) =>
    fillOnDemand(layer, () => (isBroken ? Promise.reject(new Error('registry gone')) : Promise.resolve())),
  );
  const failed = await execa('cat', [join(path, 'f')], { reject: false });
  assert.match(failed.stderr, /Input\/output error/);
  assert.ok(errors.some((error) => (error as Error).message === 'registry gone'));
  isBroken = false;
  assert.equal(await output('cat', join(path, 'f')), 'now');
});

test('a read that waits beyond the limit fails, however long ensure takes', limit, async () => {
  const entries = [directoryEntry, { path: 'f', mode: 0o100644, content: Buffer.from('never') }];
  let aborted = 0;
  const never: LayerReader = {
    ensure: (_offset, _size, signal) => new Promise(() => signal.addEventListener('abort', () => aborted++)),
  };
  const { path } = await serve(entries, () => never, { missLimitMs: 50 });
  const failed = await execa('cat', [join(path, 'f')], { reject: false });
  assert.match(failed.stderr, /Input\/output error/);
  assert.ok(aborted > 0);
});

test('a signal that a program handles does not end its read; one that kills it does', limit, async () => {
  const gate = Promise.withResolvers<void>();
  const entries = [directoryEntry, { path: 'f', mode: 0o100644, content: Buffer.from('data\n') }];
  const { path, server } = await serve(entries, (layer) => fillOnDemand(layer, () => gate.promise));
  const python = `import os, signal, sys
signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
fd = os.open(sys.argv[1], os.O_RDONLY); print("open", flush=True); data = os.read(fd, 10)
signal.setitimer(signal.ITIMER_REAL, 0); sys.stdout.write(data.decode())`;
  const patient = execa('python3', ['-c', python, join(path, 'f')], { timeout: 30_000 });
  while (server.pendingReads === 0) await sleep(5);
  await sleep(400);
  const doomed = spawn('cat', [join(path, 'f')]);
  await sleep(300);
  doomed.kill('SIGTERM');
  const [, signal] = await once(doomed, 'exit');
  assert.equal(signal, 'SIGTERM');
  gate.resolve();
  assert.equal((await patient).stdout, 'open\ndata');
});

test('removing a layer fails its waiting reads and lets go of its descriptor', limit, async () => {
  const entries = [directoryEntry, { path: 'f', mode: 0o100644, content: Buffer.from('data') }];
  const { path, server } = await serve(entries, () => ({ ensure: () => new Promise(() => {}) }));
  const waiting = execa('cat', [join(path, 'f')], { reject: false });
  while (server.pendingReads === 0) await sleep(5);
  await server.removeLayer(count);
  assert.match((await waiting).stderr, /Stale file handle|Input\/output error/);
  assert.equal(server.pendingReads, 0);
  await server.removeLayer(count);
});

test('close ends waiting reads, unmounts even while in use, and may be called twice', limit, async () => {
  const entries = [directoryEntry, { path: 'f', mode: 0o100644, content: Buffer.from('data') }];
  const { path, server } = await serve(entries, () => ({ ensure: () => new Promise(() => {}) }));
  const user = spawn('sh', ['-c', 'cd "$0" && echo in && exec sleep 30', path]);
  cleanups.push(() => user.kill('SIGKILL'));
  await once(user.stdout, 'data');
  const waiting = execa('cat', [join(path, 'f')], { reject: false });
  while (server.pendingReads === 0) await sleep(5);
  await Promise.all([server.close(), server.close()]);
  assert.notEqual((await waiting).exitCode, 0);
  assert.equal(await findMount(server.mountpoint), undefined);
  await assert.rejects(
    server.addLayer(
      { slot: 77, table: undefined as never, present: undefined as never, dataFd: 0 },
      undefined as never,
    ),
    (error: FuseError) => error.code === 'closed',
  );
});

test('close ends the connection even while another process holds its descriptor', limit, async () => {
  const entries = [directoryEntry, { path: 'f', mode: 0o100644, content: Buffer.from('data') }];
  const { path, server } = await serve(entries);
  const keeper = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', server.fd] });
  cleanups.push(() => keeper.kill('SIGKILL'));
  const user = spawn('sh', ['-c', 'cd "$0" && echo in && read line; exec cat f', path]);
  const message: Buffer[] = [];
  user.stderr.on('data', (piece) => message.push(piece));
  await once(user.stdout, 'data');
  await server.close();
  user.stdin.end('go\n');
  await once(user, 'close');
  assert.match(Buffer.concat(message).toString(), /not connected/);
});

test('the server notices that somebody else unmounted it', limit, async () => {
  const gone = Promise.withResolvers<void>();
  const { server } = await serve([directoryEntry], undefined, { onDisconnect: gone.resolve });
  await unmountFilesystem(server.mountpoint);
  await gone.promise;
  await server.close();
});

test('a mount point that holds another file system is refused with what to do', limit, async () => {
  const path = join(root, 'taken');
  mkdirSync(path);
  await output('mount', '-t', 'tmpfs', 'tmpfs', path);
  cleanups.push(() => unmountFilesystem(path));
  await assert.rejects(FuseServer.mount(path), { code: 'mount-failed', message: /tmpfs is mounted there; unmount/ });
});

async function startServer(context: TestContext, tree: string, mountpoint: string) {
  const script = new URL('./testing/serve-directory.ts', import.meta.url).pathname;
  const options = JSON.stringify({ dataPath: `${mountpoint}.data` });
  const child = spawn(process.execPath, [script, tree, mountpoint, options], { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => child.kill('SIGKILL'));
  const [path] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { child, path };
}

test(
  'after kill -9 of the server its users get an error, and the next server takes the mount point',
  limit,
  async (t) => {
    const tree = sampleTree();
    const mountpoint = join(root, 'killed');
    cleanups.push(() => unmountFilesystem(mountpoint, MNT_DETACH).catch(() => {}));
    const { child, path } = await startServer(t, tree, mountpoint);
    assert.equal(await output('cat', join(path, 'many/file-3')), 'content 3');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const failed = await execa('cat', [join(path, 'many/file-4')], { reject: false, timeout: 10_000 });
    assert.match(failed.stderr, /not connected/);
    assert.ok(await findMount(mountpoint));
    const next = await startServer(t, tree, mountpoint);
    assert.equal(await output('cat', join(next.path, 'many/file-4')), 'content 4');
    next.child.kill('SIGTERM');
    assert.deepEqual(await once(next.child, 'exit'), [0, null], 'it ends by itself');
    assert.equal(await findMount(mountpoint), undefined);
    assert.ok(existsSync(mountpoint));
  },
);

test('another server takes over a connection by its descriptor, reads in flight included', limit, async () => {
  const entries = [
    directoryEntry,
    { path: 'f', mode: 0o100644, content: Buffer.from('late\n') },
    { path: 'g', mode: 0o100644, content: Buffer.from('later\n') },
  ];
  const first = await serve(entries, () => ({ ensure: () => new Promise(() => {}) }));
  const { connection, mountpoint } = first.server;
  // Shares the open connection as an inherited descriptor would.
  const held = duplicate(first.server.fd) as number;
  const waiting = output('cat', join(first.path, 'f'));
  while (first.server.pendingReads === 0) await sleep(5);
  await first.server.release();
  const between = output('cat', join(first.path, 'g'));
  const second = FuseServer.adopt(held, JSON.parse(JSON.stringify(connection)));
  cleanups.push(() => second.close());
  await second.addLayer(
    { slot: count, table: first.layer.table, present: first.layer.present, dataFd: first.layer.dataFd },
    fillOnDemand(first.layer),
  );
  await second.resume();
  assert.equal(await between, 'later');
  assert.equal(await waiting, 'late');
  await second.close();
  assert.equal(await findMount(mountpoint), undefined);
});

function popcount(word: number): number {
  let bits = 0;
  for (let rest = word >>> 0; rest > 0; rest >>>= 1) bits += rest & 1;
  return bits;
}
