import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../../testkit/until.ts';
import { digestHex } from '../registry/digest.ts';
import { isDiskFull } from '../store/error.ts';
import { buildTestBlob } from '../store/testing/blob.ts';
import { openSlotBook, readSlotBook } from './slot-book.ts';
import { limit, openBench, readThrough, refusedFor, signal, soon } from './testing/manager-bench.ts';
import { requestFor, testFiles, testRegistry } from './testing/registry.ts';

/** A directory on a file system of its own of this size. */
function makeDisk(t: TestContext, sizeBytes: number): string {
  const root = mkdtempSync(join(tmpdir(), 'full-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'layers', root]);
  t.after(() => {
    // Lazily: the stores there are closed only later.
    execFileSync('umount', ['--lazy', root]);
    rmdirSync(root);
  });
  return root;
}

function fill(root: string): void {
  assert.throws(() => writeFileSync(join(root, 'ballast'), Buffer.alloc(2_000_000)), { code: 'ENOSPC' });
}

const files = testFiles(20, 50_000);

test('mounts and reads on a full disk succeed after unused layers are evicted', limit, async (t) => {
  const unused = buildTestBlob(testFiles(10, 50_000, 100));
  const alsoUnused = buildTestBlob(testFiles(10, 50_000, 200));
  const wanted = buildTestBlob(files);
  const root = makeDisk(t, 1_600_000);
  const { manager, face } = await openBench(t, testRegistry([unused, alsoUnused, wanted]), root);
  const keepInCache = async (blob: typeof unused): Promise<void> => {
    const before = manager({ prefetchSizeBytes: 10_000_000 });
    await before.mount(requestFor(blob), signal);
    await until('the whole layer', () => before.debugLayers()[0]!.complete === true, soon);
    await before.close();
  };
  await keepInCache(unused);
  fill(root);
  const layers = manager();
  await layers.mount(requestFor(wanted), signal);
  rmSync(join(root, 'ballast'));
  await keepInCache(alsoUnused);
  layers.acquire(wanted.digest);
  for (const file of files) assert.ok((await readThrough(face, wanted.digest, file)).equals(file.content), file.name);
  assert.deepEqual(readdirSync(root), [digestHex(wanted.digest)]);
});

test('with nothing to evict, reads fail, keep what is stored, and succeed once there is space', limit, async (t) => {
  const blob = buildTestBlob(files);
  const other = buildTestBlob(testFiles(2000, 10));
  const root = makeDisk(t, 1_600_000);
  const { manager, face } = await openBench(t, testRegistry([blob, other]), root);
  const layers = manager();
  await layers.mount(requestFor(blob), signal);
  layers.acquire(blob.digest);
  assert.ok((await readThrough(face, blob.digest, files[0]!)).equals(files[0]!.content));
  fill(root);
  await assert.rejects(readThrough(face, blob.digest, files[19]!), { code: 'disk', message: /free space/ });
  assert.ok((await readThrough(face, blob.digest, files[0]!)).equals(files[0]!.content));
  await assert.rejects(layers.mount(requestFor(other), signal), refusedFor('disk'));
  rmSync(join(root, 'ballast'));
  assert.ok((await readThrough(face, blob.digest, files[19]!)).equals(files[19]!.content));
});

test('content leaves a reserve on the disk for removing it', limit, async (t) => {
  const many = testFiles(200, 50_000);
  const blob = buildTestBlob(many);
  const root = makeDisk(t, 8_000_000);
  const { manager, face } = await openBench(t, testRegistry([blob]), root);
  await manager().mount(requestFor(blob), signal);
  await assert.rejects(async () => {
    for (const file of many) await readThrough(face, blob.digest, file);
  }, isDiskFull);
  writeFileSync(join(root, 'database'), Buffer.alloc(64 * 1024));
});

test('a layer is mounted again on a full disk, without the registry', limit, async (t) => {
  const blob = buildTestBlob(files);
  const registry = testRegistry([blob]);
  const root = makeDisk(t, 1_600_000);
  const { manager, face } = await openBench(t, registry, root);
  const before = manager();
  await before.mount(requestFor(blob), signal);
  await readThrough(face, blob.digest, files[0]!);
  await before.close();
  fill(root);
  registry.sources.get(blob.digest)!.failure = { error: new Error('unreachable') };
  assert.deepEqual(await manager().restore([{ request: requestFor(blob) }], signal), []);
  assert.ok((await readThrough(face, blob.digest, files[0]!)).equals(files[0]!.content));
});

test('a slot book can be read and written on a full disk', limit, (t) => {
  const root = makeDisk(t, 65_536);
  const file = join(root, 'face.json');
  const book = openSlotBook(file, {});
  const keys = (): string[] => [...readSlotBook(file)!.slots.keys()];
  writeFileSync(join(root, 'room'), Buffer.alloc(50_000));
  fill(root);
  const set = (digest: string): void => book.set(digest, { slot: book.take() });
  const written: string[] = [];
  const setUntilFull = (): void => {
    for (let at = 0; ; at++) {
      set(`layer ${at}`);
      written.push(`layer ${at}`);
    }
  };
  assert.throws(setUntilFull, { code: 'ENOSPC' });
  assert.deepEqual([...book.slots.keys()], written);
  assert.deepEqual(keys(), written);
  for (const gone of written.splice(1)) book.delete(gone);
  rmSync(join(root, 'room'));
  set('new');
  assert.deepEqual(keys(), [...written, 'new']);
});
