import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import koffi from 'koffi';
import { MNT_DETACH, unmountFilesystem } from '../platform/syscalls.ts';
import { findMount } from './device.ts';
import type { FuseError } from './error.ts';
import type { LayerReader } from '../store/layer-reader.ts';
import { FuseServer } from './server.ts';
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
  untilPending,
} from './testing/mounted-layer.ts';
import type { Entry } from '../bench/plain-layer.ts';

const duplicate = koffi.load(null).func('int dup(int fd)');

test('present data is served while many readers wait', limit, async () => {
  const gate = Promise.withResolvers<void>();
  const entries: Entry[] = [directoryEntry];
  for (let i = 0; i < 20; i++) entries.push({ path: `f${i}`, mode: 0o100644, content: Buffer.from(`content ${i}\n`) });
  const { path, server, layer } = await serve(entries, (layer) => fillOnDemand(layer, () => gate.promise));
  layer.fill([0]);
  const readers = Array.from({ length: 19 }, (_, i) => output('cat', join(path, `f${i + 1}`)));
  await untilPending(server, 19);
  assert.equal(await output('cat', join(path, 'f0')), 'content 0');
  gate.resolve();
  assert.deepEqual(
    await Promise.all(readers),
    Array.from({ length: 19 }, (_, i) => `content ${i + 1}`),
  );
  assert.equal(server.pendingReads, 0);
});

test(
  'a read whose data cannot be fetched fails with EIO and is reported, and a later one may succeed',
  limit,
  async () => {
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
  },
);

test('a read that waits beyond the limit fails, even if ensure never settles', limit, async () => {
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
  const patient = runProgram('read-under-alarms.py', join(path, 'f'));
  await untilPending(server);
  await sleep(400);
  const doomed = spawn('cat', [join(path, 'f')]);
  await sleep(300);
  doomed.kill('SIGTERM');
  const [, signal] = await once(doomed, 'exit');
  assert.equal(signal, 'SIGTERM');
  gate.resolve();
  assert.equal(await patient, 'open\ndata');
});

test('removing a layer fails its waiting reads', limit, async () => {
  const entries = [directoryEntry, { path: 'f', mode: 0o100644, content: Buffer.from('data') }];
  const { path, server, slot } = await serve(entries, () => ({ ensure: () => new Promise(() => {}) }));
  const waiting = execa('cat', [join(path, 'f')], { reject: false });
  await untilPending(server);
  await server.removeLayer(slot);
  assert.match((await waiting).stderr, /Stale file handle|Input\/output error/);
  assert.equal(server.pendingReads, 0);
  await server.removeLayer(slot);
});

test('close ends waiting reads, unmounts even while in use, and may be called twice', limit, async () => {
  const entries = [directoryEntry, { path: 'f', mode: 0o100644, content: Buffer.from('data') }];
  const { path, server } = await serve(entries, () => ({ ensure: () => new Promise(() => {}) }));
  const user = spawn('sh', ['-c', 'cd "$0" && echo in && exec sleep 30', path]);
  cleanUp(() => user.kill('SIGKILL'));
  await once(user.stdout, 'data');
  const waiting = execa('cat', [join(path, 'f')], { reject: false });
  await untilPending(server);
  await Promise.all([server.close(), server.close()]);
  assert.notEqual((await waiting).exitCode, 0);
  assert.equal(findMount(server.mountpoint), undefined);
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
  cleanUp(() => keeper.kill('SIGKILL'));
  const user = spawn('sh', ['-c', 'cd "$0" && echo in && read line; exec cat f', path]);
  const message: Buffer[] = [];
  user.stderr.on('data', (piece) => message.push(piece));
  await once(user.stdout, 'data');
  await server.close();
  user.stdin.end('go\n');
  await once(user, 'close');
  assert.match(Buffer.concat(message).toString(), /not connected/);
});

test('an unmount from outside is reported', limit, async () => {
  const gone = Promise.withResolvers<void>();
  const { server } = await serve([directoryEntry], undefined, { onDisconnect: gone.resolve });
  await unmountFilesystem(server.mountpoint);
  await gone.promise;
  await server.close();
});

test('a mount point with another file system is refused with the remedy', limit, async () => {
  const path = join(root, 'taken');
  mkdirSync(path);
  await output('mount', '-t', 'tmpfs', 'tmpfs', path);
  cleanUp(() => unmountFilesystem(path));
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
    cleanUp(() => unmountFilesystem(mountpoint, MNT_DETACH).catch(() => {}));
    const { child, path } = await startServer(t, tree, mountpoint);
    assert.equal(await output('cat', join(path, 'many/file-3')), 'content 3');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const failed = await execa('cat', [join(path, 'many/file-4')], { reject: false, timeout: 10_000 });
    assert.match(failed.stderr, /not connected/);
    assert.ok(findMount(mountpoint));
    const next = await startServer(t, tree, mountpoint);
    assert.equal(await output('cat', join(next.path, 'many/file-4')), 'content 4');
    next.child.kill('SIGTERM');
    assert.deepEqual(await once(next.child, 'exit'), [0, null], 'it ends by itself');
    assert.equal(findMount(mountpoint), undefined);
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
  await untilPending(first.server);
  await first.server.release();
  const between = output('cat', join(first.path, 'g'));
  const second = FuseServer.adopt(held, JSON.parse(JSON.stringify(connection)));
  cleanUp(() => second.close());
  await second.addLayer(
    { slot: first.slot, table: first.layer.table, present: first.layer.present, dataFd: first.layer.dataFd },
    fillOnDemand(first.layer),
  );
  await second.resume();
  assert.equal(await between, 'later');
  assert.equal(await waiting, 'late');
  await second.close();
  assert.equal(findMount(mountpoint), undefined);
});
