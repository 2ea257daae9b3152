import assert from 'node:assert/strict';
import { closeSync, fstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { until } from '../../testkit/until.ts';
import { createPlainLayer, type Entry } from '../bench/plain-layer.ts';
import { mountFilesystem, unmountFilesystem } from '../platform/syscalls.ts';
import { writeImageFile } from './image-file.ts';
import { listErofsMounts, unmountImage } from './mount.ts';
import { ErofsServer, type ErofsServerOptions } from './server.ts';

/** Mounts are read by child processes, as by containers: this process fills the holes. */

const limit = { timeout: 30_000 };
const chunkBytes = 64 * 1024;
const contents = new Map([
  ['big', pseudoRandomBytes(3 << 20, 1)],
  ['one', pseudoRandomBytes(1, 2)],
  ['dir/odd', pseudoRandomBytes(4097, 3)],
  ['dir/empty', Buffer.alloc(0)],
]);
const entries: readonly Entry[] = [
  { path: '', mode: 0o040755 },
  { path: 'dir', mode: 0o040755 },
  ...[...contents].map(([path, content]) => ({ path, mode: 0o100644, content })),
  { path: 'link', mode: 0o120777, target: 'dir/odd' },
];

async function serve(
  t: TestContext,
  before: (offset: number) => Promise<void> = async () => {},
  tree: readonly Entry[] = entries,
  options: ErofsServerOptions = {},
) {
  const directory = mkdtempSync(join(tmpdir(), 'erofs-server-'));
  const dataPath = join(directory, 'data');
  const layer = createPlainLayer(tree, dataPath, chunkBytes);
  const imagePath = await writeImageFile(directory, layer.table);
  const errors: unknown[] = [];
  const asked: { offset: number; sizeBytes: number }[] = [];
  const onError = (error: unknown) => void errors.push(error);
  const server = new ErofsServer(join(directory, 'mnt'), { onError, directDelayMs: 0, ...options });
  t.after(async () => {
    await server.close();
    for (const path of listErofsMounts().filter((point) => point.startsWith(directory))) await unmountImage(path, 2);
    layer.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const add = (slot: number, isComplete = false) =>
    server.addLayer(
      { slot, table: layer.table, present: layer.present, dataFd: layer.dataFd, dataPath, imagePath, isComplete },
      {
        async ensure(offset, sizeBytes) {
          asked.push({ offset, sizeBytes });
          await before(offset);
          const { chunkDataOffset, chunkSizeBytes, chunkCount } = layer.table;
          layer.fill(
            Array.from({ length: chunkCount }, (_, chunk) => chunk).filter(
              (chunk) =>
                chunkDataOffset[chunk]! < offset + sizeBytes &&
                chunkDataOffset[chunk]! + chunkSizeBytes[chunk]! > offset,
            ),
          );
        },
      },
    );
  const path = await add(7);
  return { directory, server, layer, path, errors, asked, add };
}

async function checksums(root: string): Promise<string> {
  const paths = [...contents.keys()];
  return (await execa('cksum', paths, { cwd: root, timeout: 20_000 })).stdout;
}

async function expectedChecksums(): Promise<string> {
  const lines = await Promise.all(
    [...contents].map(async ([path, input]) => `${(await execa('cksum', { input })).stdout} ${path}`),
  );
  return lines.join('\n');
}

test('every byte read through a mount with holes is right, and is asked for by range', limit, async (t) => {
  const { path, asked, errors, layer } = await serve(t);
  assert.equal(await checksums(path), await expectedChecksums());
  assert.deepEqual(errors, []);
  assert.ok(asked.length > 0);
  assert.ok(asked.every(({ sizeBytes }) => sizeBytes < layer.table.dataSizeBytes));
});

test('an overlay on the mount shows the same to many concurrent readers', limit, async (t) => {
  const { directory, path } = await serve(t, () => delay(5));
  await withOverlay(directory, path, async (root) => {
    const all = await Promise.all([1, 2, 3, 4].map(() => checksums(root)));
    const expected = await expectedChecksums();
    for (const one of all) assert.equal(one, expected);
  });
});

test('a reader gets EIO while the bytes cannot be fetched, and the bytes once they can', limit, async (t) => {
  let broken = true;
  const { path, errors } = await serve(t, async () => {
    if (broken) throw new Error('the registry is gone');
  });
  const failed = await execa('cat', [join(path, 'dir/odd')], { reject: false, timeout: 10_000 });
  assert.match(failed.stderr, /Input\/output error/);
  assert.equal(failed.stdout, '');
  assert.match(String(errors[0]), /registry is gone/);
  broken = false;
  assert.equal(await checksums(path), await expectedChecksums());
});

test('a read that waits beyond the limit fails with EIO, even if ensure never settles', limit, async (t) => {
  const { path, errors } = await serve(t, () => new Promise(() => {}), entries, { missLimitMs: 100 });
  const failed = await execa('cat', [join(path, 'dir/odd')], { reject: false, timeout: 10_000 });
  assert.match(failed.stderr, /Input\/output error/);
  assert.match(String(errors[0]), /no data after 100 ms/);
});

test('a complete layer is read without events', limit, async (t) => {
  const { path, server, layer, asked, directory } = await serve(t);
  layer.fill();
  server.releaseGuard(7);
  assert.equal(await checksums(path), await expectedChecksums());
  assert.deepEqual(asked, []);
  // Without holes it may be removed while in use.
  await withOverlay(directory, path, async (root) => {
    await server.removeLayer(7);
    assert.equal(await checksums(root), await expectedChecksums());
  });
});

test('a layer that becomes complete under an overlay is remounted with direct I/O', limit, async (t) => {
  const { directory, path, server, layer, errors } = await serve(t);
  await withOverlay(directory, path, async (root) => {
    assert.equal(isReadDirectly(path), false);
    layer.fill();
    server.releaseGuard(7);
    await until('the mount reads its data file directly', () => isReadDirectly(path), { limitMs: 10_000 });
    assert.equal(await checksums(root), await expectedChecksums());
  });
  assert.deepEqual(errors, []);
});

test('a layer that is complete when mounted has direct I/O from the start', limit, async (t) => {
  const { layer, add } = await serve(t);
  layer.fill();
  const path = await add(8, true);
  assert.equal(isReadDirectly(path), true);
  assert.equal(await checksums(path), await expectedChecksums());
});

test('a layer under an overlay cannot be removed: it stays mounted and its holes are filled', limit, async (t) => {
  const { directory, path, server } = await serve(t);
  await withOverlay(directory, path, async (root) => {
    await assert.rejects(server.removeLayer(7), { code: 'busy' });
    assert.ok(listErofsMounts().includes(path));
    assert.equal(await checksums(root), await expectedChecksums());
    assert.equal(await checksums(path), await expectedChecksums());
  });
  await server.removeLayer(7);
  assert.deepEqual(
    listErofsMounts().filter((point) => point.startsWith(directory)),
    [],
  );
});

test('a layer with open files cannot be removed', limit, async (t) => {
  const { path, server } = await serve(t);
  const reader = execa('sleep', ['20'], { cwd: path, reject: false });
  t.after(() => reader.kill('SIGKILL'));
  await delay(100);
  await assert.rejects(server.removeLayer(7), { code: 'busy' });
  assert.equal(await checksums(path), await expectedChecksums());
  reader.kill('SIGKILL');
  await reader;
  await server.removeLayer(7);
});

test('close answers reads in flight, unmounts, and returns the slots in use', limit, async (t) => {
  const gate = Promise.withResolvers<void>();
  const { directory, path, server, asked } = await serve(t, () => gate.promise);
  const reader = execa('cat', [join(path, 'one')], { encoding: 'buffer', timeout: 10_000 });
  await until('a hole is asked for', () => asked.length > 0, { limitMs: 10_000 });
  const closing = server.close();
  gate.resolve();
  assert.deepEqual(Buffer.from((await reader).stdout), contents.get('one'));
  const busy = await closing;
  // Whether the reader had closed its file by the time of the unmount is a race; that the answer fits what is there is
  // not.
  const left = listErofsMounts().filter((point) => point.startsWith(directory));
  assert.equal(left.length, busy.length);
});

test('calls after the end use no descriptor', limit, async (t) => {
  const { directory, server, path } = await serve(t);
  await server.release();
  // Reuses the descriptor numbers of the server.
  const others = [1, 2, 3].map((index) => openSync(join(directory, `other-${index}`), 'w+'));
  server.releaseGuard(7);
  await assert.rejects(server.removeLayer(7), { code: 'closed' });
  await assert.rejects(server.addLayer({} as never, {} as never), { code: 'closed' });
  await Promise.all([server.close(), server.release()]);
  for (const fd of others) {
    assert.equal(fstatSync(fd).size, 0);
    closeSync(fd);
  }
  assert.ok(listErofsMounts().includes(path));
});

// Through a shell: spawn blocks this thread until execve(2) has read the program, and this thread has to fetch it.
test('a program can be executed and its pages mapped while they are fetched', limit, async (t) => {
  const program = readFileSync('/bin/true');
  const { path } = await serve(t, () => delay(2), [
    { path: '', mode: 0o040755 },
    { path: 'true', mode: 0o100755, content: program },
  ]);
  const runs = await Promise.all(
    Array.from({ length: 16 }, () => execa('sh', ['-c', '"$0" --version', join(path, 'true')], { timeout: 20_000 })),
  );
  assert.ok(runs.every(({ stdout }) => stdout.startsWith('true')));
});

test('two hundred layers at once are mounted, read and unmounted', {
  timeout: 60_000,
}, async (t) => {
  const { directory, server } = await serve(t);
  const slots = Array.from({ length: 200 }, (_, index) => 100 + index);
  const textOf = (slot: number) => `of layer ${slot}\n`;
  for (const slot of slots) {
    const dataPath = join(directory, `data-${slot}`);
    const entries = [
      { path: '', mode: 0o040755 },
      { path: 'f', mode: 0o100644, content: Buffer.from(textOf(slot)) },
    ];
    const { table, present, dataFd, fill, close } = createPlainLayer(entries, dataPath, chunkBytes);
    t.after(close);
    mkdirSync(join(directory, `image-${slot}`));
    const imagePath = await writeImageFile(join(directory, `image-${slot}`), table);
    await server.addLayer({ slot, table, present, dataFd, dataPath, imagePath }, { ensure: async () => fill() });
  }
  // Removing one does not affect the others.
  await server.removeLayer(slots.shift()!);
  const paths = slots.map((slot) => join(directory, 'mnt', String(slot), 'f'));
  const { stdout } = await execa('cat', paths, { stripFinalNewline: false });
  assert.equal(stdout, slots.map(textOf).join(''));
  // A container that starts anywhere on the machine copies all mounts for a moment, which keeps their layers in use.
  const isRemoved = (slot: number) =>
    server.removeLayer(slot).then(
      () => true,
      () => false,
    );
  for (const slot of slots)
    await until(`layer ${slot} is no longer in use`, () => isRemoved(slot), { limitMs: 10_000 });
  assert.deepEqual(await server.close(), []);
  assert.deepEqual(
    listErofsMounts().filter((point) => point.startsWith(directory)),
    [],
  );
});

test('a thousand concurrent waiting reads are all answered', limit, async (t) => {
  const names = Array.from({ length: 1000 }, (_, index) => `f${index}`);
  const gate = Promise.withResolvers<void>();
  const { path, asked, errors } = await serve(t, () => gate.promise, [
    { path: '', mode: 0o040755 },
    ...names.map((name) => ({ path: name, mode: 0o100644, content: Buffer.from(`content of ${name}`) })),
  ]);
  const program = join(import.meta.dirname, 'testing/read-many.py');
  const readers = execa('python3', [program, '1000'], { cwd: path, timeout: 20_000 });
  await until('1000 holes are asked for', () => asked.length >= 1000, { limitMs: 20_000 });
  gate.resolve();
  assert.equal((await readers).stdout, '1000');
  assert.deepEqual(errors, []);
});

test('a reader that is killed while it waits ends at once, and the next reader gets the bytes', limit, async (t) => {
  const gate = Promise.withResolvers<void>();
  const { path, asked } = await serve(t, () => gate.promise);
  const doomed = execa('cat', [join(path, 'one')], { reject: false, encoding: 'buffer' });
  await until('a hole is asked for', () => asked.length > 0, { limitMs: 10_000 });
  const next = execa('cat', [join(path, 'one')], { encoding: 'buffer', timeout: 10_000 });
  doomed.kill('SIGKILL');
  assert.equal((await doomed).signal, 'SIGKILL');
  gate.resolve();
  assert.deepEqual(Buffer.from((await next).stdout), contents.get('one'));
});

test('the death of the worker thread is reported', limit, async (t) => {
  const death = Promise.withResolvers<unknown>();
  const { directory, server, layer } = await serve(t, undefined, entries, { onDeath: death.resolve });
  const table = { ...layer.table, shared: new SharedArrayBuffer(8) };
  const { present } = layer;
  const [dataPath, imagePath] = [join(directory, 'other'), join(directory, 'image.erofs')];
  const other = createPlainLayer(entries, dataPath, chunkBytes);
  t.after(() => other.close());
  await server.addLayer(
    { slot: 9, table, present, dataFd: other.dataFd, dataPath, imagePath },
    { ensure: async () => {} },
  );
  assert.match(String(await death.promise), /RangeError/);
});

test('an image file is written once, and replaced when it is of another tree', limit, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'erofs-file-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const layer = createPlainLayer(entries, join(directory, 'data'), chunkBytes);
  const other = createPlainLayer(entries.slice(0, 3), join(directory, 'other'), chunkBytes);
  t.after(() => {
    for (const one of [layer, other]) one.close();
  });
  const path = await writeImageFile(directory, layer.table);
  const first = readFileSync(path);
  assert.equal(await writeImageFile(directory, layer.table), path);
  assert.deepEqual(readFileSync(path), first);
  for (const at of [0, 1200, first.length - 100, first.length - 1]) {
    const damaged = Buffer.from(first);
    damaged[at]! ^= 4;
    writeFileSync(path, damaged);
    await writeImageFile(directory, layer.table);
    assert.deepEqual(readFileSync(path), first, `byte ${at} was damaged`);
  }
  await writeImageFile(directory, other.table);
  assert.notDeepEqual(readFileSync(path), first);
});

function isReadDirectly(path: string): boolean {
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((mount) => mount.split(' ')[1] === path);
  return line?.split(' ')[3]?.split(',').includes('directio') ?? false;
}

async function withOverlay(directory: string, lower: string, use: (root: string) => Promise<void>): Promise<void> {
  const [root, upper, work] = ['root', 'upper', 'work'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [root, upper, work]) mkdirSync(path, { recursive: true });
  await mountFilesystem('overlay', root, 'overlay', 0, `lowerdir=${lower},upperdir=${upper},workdir=${work}`);
  try {
    await use(root);
  } finally {
    await unmountFilesystem(root, 2);
  }
}
