import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import type { Digest } from '../registry/digest.ts';
import { type RemoteLayer, refLabel } from './record.ts';
import { SnapshotStore, type StoreOptions } from './store.ts';

const limit = { timeout: 20_000 };

function openStore(t: TestContext, options: Partial<StoreOptions> = {}): { store: SnapshotStore; root: string } {
  const root = options.root ?? mkdtempSync(join(tmpdir(), 'snapshots-'));
  const store = new SnapshotStore({ ...options, root });
  t.after(() => {
    store.close();
    rmSync(root, { recursive: true, force: true });
  });
  return { store, root };
}

function option(options: readonly string[], name: string): string {
  return options.find((text) => text.startsWith(`${name}=`))!.slice(name.length + 1);
}

test(
  'a snapshot without parent is a bind mount, one with parents an overlay with the nearest parent first',
  limit,
  async (t) => {
    const { store, root } = openStore(t, { overlayOptions: ['index=off'] });
    const [first] = store.prepare('a', '', {});
    assert.deepEqual(first, { type: 'bind', source: join(root, 'snapshots/1/fs'), options: ['rw', 'rbind'] });
    await store.commit('A', 'a', {});
    const [view] = store.view('v', 'A', {});
    assert.deepEqual(view, { type: 'bind', source: join(root, 'snapshots/1/fs'), options: ['ro', 'rbind'] });
    store.prepare('b', 'A', {});
    await store.commit('B', 'b', {});
    const [active] = store.prepare('c', 'B', {});
    assert.equal(active!.type, 'overlay');
    assert.equal(
      option(active!.options, 'lowerdir'),
      `${join(root, 'snapshots/3/fs')}:${join(root, 'snapshots/1/fs')}`,
    );
    assert.equal(option(active!.options, 'upperdir'), join(root, 'snapshots/4/fs'));
    assert.ok(existsSync(option(active!.options, 'workdir')));
    assert.ok(active!.options.includes('index=off'));
    const [deepView] = store.view('w', 'B', {});
    assert.ok(!deepView!.options.some((text) => /^(upper|work)dir/.test(text)));
    assert.deepEqual(store.mounts('c'), [active]);
    assert.deepEqual(store.view('empty', '', {})[0]!.options, ['ro', 'rbind']);
  },
);

test('the upper directory has mode 0755 whatever the umask, and the owner of the parent', limit, async (t) => {
  const { store, root } = openStore(t);
  const mask = process.umask(0o077);
  t.after(() => process.umask(mask));
  store.prepare('a', '', {});
  assert.equal(statSync(join(root, 'snapshots/1/fs')).mode & 0o7777, 0o755);
  assert.equal(process.umask(), 0o077);
});

test('errors are those of containerd', limit, async (t) => {
  const { store } = openStore(t);
  store.prepare('a', '', {});
  await store.commit('A', 'a', {});
  store.prepare('b', 'A', {});
  store.view('v', 'A', {});
  const refused: [string, () => unknown][] = [
    ['not-found', () => store.stat('zz')],
    ['not-found', () => store.mounts('zz')],
    ['not-found', () => store.remove('zz')],
    ['not-found', () => store.prepare('x', 'zz', {})],
    ['not-found', () => store.usage('zz')],
    ['not-found', () => store.update('zz', {}, [])],
    ['not-found', () => store.commit('X', 'zz', {})],
    ['already-exists', () => store.prepare('b', '', {})],
    ['already-exists', () => store.view('b', 'A', {})],
    ['already-exists', () => store.commit('A', 'b', {})],
    ['invalid-argument', () => store.prepare('x', 'b', {})],
    ['invalid-argument', () => store.prepare('x', 'v', {})],
    ['invalid-argument', () => store.prepare('', '', {})],
    ['invalid-argument', () => store.prepare('x\0y', '', {})],
    ['invalid-argument', () => store.prepare('x', '', { l: 'x'.repeat(4096) })],
    ['invalid-argument', () => store.update('b', {}, ['parent'])],
    ['invalid-argument', () => store.walk(['name=='])],
    ['failed-precondition', () => store.mounts('A')],
    ['failed-precondition', () => store.remove('A')],
    ['failed-precondition', () => store.commit('X', 'v', {})],
    ['failed-precondition', () => store.commit('X', 'A', {})],
  ];
  for (const [code, call] of refused) {
    await assert.rejects(async () => call(), { name: 'SnapshotError', code }, `${code}: ${call}`);
  }
  // What failed left nothing behind.
  assert.deepEqual(
    store.walk([]).map((info) => info.name),
    ['A', 'b', 'v'],
  );
});

test('commit replaces labels, keeps what update cannot change, and drops empty values', limit, async (t) => {
  let nowMs = 1000;
  const { store } = openStore(t, { nowMs: () => nowMs });
  store.prepare('a', '', { one: '1', empty: '' });
  assert.deepEqual(store.stat('a'), {
    name: 'a',
    parent: '',
    kind: 'active',
    labels: { one: '1' },
    createdMs: 1000,
    updatedMs: 1000,
  });
  nowMs = 2000;
  await store.commit('A', 'a', { two: '2', three: '3' });
  assert.deepEqual(store.stat('A').labels, { two: '2', three: '3' });
  assert.equal(store.stat('A').createdMs, 2000);
  nowMs = 3000;
  assert.deepEqual(store.update('A', { two: 'new', four: '4' }, ['labels.two', 'labels.three']).labels, { two: 'new' });
  assert.deepEqual(store.update('A', { x: 'y' }, ['labels']).labels, { x: 'y' });
  const { createdMs, updatedMs, labels } = store.update('A', { __proto__: null, z: '1' } as never, []);
  assert.deepEqual([createdMs, updatedMs, labels], [2000, 3000, { z: '1' }]);
});

test('usage counts blocks and inodes, hard links once, both at commit and while active', limit, async (t) => {
  const { store, root } = openStore(t);
  store.prepare('a', '', {});
  const upper = join(root, 'snapshots/1/fs');
  await mkdir(join(upper, 'd'));
  await writeFile(join(upper, 'd/f'), Buffer.alloc(100_000, 1));
  const { linkSync } = await import('node:fs');
  linkSync(join(upper, 'd/f'), join(upper, 'g'));
  const usage = await store.usage('a');
  assert.equal(usage.inodes, 3);
  assert.ok(usage.sizeBytes >= 100_000 && usage.sizeBytes < 130_000, String(usage.sizeBytes));
  await store.commit('A', 'a', {});
  writeFileSync(join(upper, 'later'), 'x');
  assert.deepEqual(await store.usage('A'), usage);
});

test('a removed snapshot frees its key at once and its directory at cleanup', limit, async (t) => {
  const { store, root } = openStore(t);
  store.prepare('a', '', {});
  store.remove('a');
  assert.ok(existsSync(join(root, 'snapshots/1')));
  store.prepare('a', '', {});
  assert.deepEqual(await store.cleanup(), []);
  assert.deepEqual(readdirSync(join(root, 'snapshots')), ['2']);
  assert.deepEqual((await Promise.all([store.cleanup(), store.cleanup()])).flat(), []);
});

test('directories left by a crash are reclaimed, even if the next snapshot has the same id', limit, async (t) => {
  const { store, root } = openStore(t);
  await mkdir(join(root, 'snapshots/1/fs'), { recursive: true });
  await writeFile(join(root, 'snapshots/1/fs/old'), 'x');
  await mkdir(join(root, 'snapshots/77/fs'), { recursive: true });
  store.prepare('a', '', {});
  assert.deepEqual(readdirSync(join(root, 'snapshots/1/fs')), []);
  await store.cleanup();
  assert.deepEqual(readdirSync(join(root, 'snapshots')), ['1']);
});

test('a snapshot that reuses an id does not get the directory that is being deleted', limit, async (t) => {
  const { store, root } = openStore(t);
  // As a Prepare leaves it that failed when its directory stood: the number is free again.
  const leftover = join(root, 'snapshots/1/fs');
  await mkdir(leftover, { recursive: true });
  for (let i = 0; i < 3000; i++) writeFileSync(join(leftover, String(i)), '');
  const cleaning = store.cleanup();
  await new Promise((resolve) => setTimeout(resolve, 10));
  const [mount] = store.prepare('a', '', {});
  assert.equal(mount!.source, leftover);
  await cleaning;
  assert.deepEqual(readdirSync(join(root, 'snapshots')), ['1']);
  assert.deepEqual(readdirSync(join(root, 'snapshots/1')).sort(), ['fs', 'work']);
});

test('the tree survives closing and opening the database', limit, async (t) => {
  const { store, root } = openStore(t);
  store.prepare('a', '', {});
  await store.commit('A', 'a', { l: '1' });
  store.prepare('b', 'A', {});
  const before = store.walk([]);
  const mounts = store.mounts('b');
  store.close();
  const again = new SnapshotStore({ root });
  t.after(() => again.close());
  assert.deepEqual(again.walk([]), before);
  assert.deepEqual(again.mounts('b'), mounts);
});

test('a second daemon on the same root is refused', { timeout: 30_000 }, (t) => {
  const { root } = openStore(t);
  assert.throws(
    () => new SnapshotStore({ root }),
    /metadata\.sqlite: database is locked; another daemon uses this root/,
  );
});

test('a database of a later version, or a file that is no database, is refused with its path', limit, (t) => {
  const { store, root } = openStore(t);
  store.close();
  const database = new DatabaseSync(join(root, 'metadata.sqlite'));
  database.exec('PRAGMA user_version = 99');
  database.close();
  assert.throws(() => new SnapshotStore({ root }), /metadata\.sqlite: it has version 99/);
  for (const name of readdirSync(root)) if (name.startsWith('metadata')) rmSync(join(root, name));
  writeFileSync(join(root, 'metadata.sqlite'), 'no database'.repeat(100));
  assert.throws(() => new SnapshotStore({ root }), /metadata\.sqlite: /);
});

function layer(name: string): RemoteLayer {
  const digest = name as Digest;
  const request = { reference: 'registry.test/app:1', digest, siblings: [], skipVerify: false };
  return { digest, request };
}

test('a lazy layer becomes one committed snapshot, found by reference and parent', limit, async (t) => {
  const paths = new Map([
    ['d1', '/layers/1'],
    ['d2', '/layers/2'],
  ]);
  const { store, root } = openStore(t, { layerPath: (digest) => paths.get(digest) });
  assert.equal(store.commitRemote('ref1', '', { keep: 'me' }, layer('d1')), true);
  assert.equal(store.commitRemote('ref1', '', {}, layer('d1')), false);
  assert.equal(store.commitRemote('ref2', 'ref1', {}, layer('d2')), true);
  assert.deepEqual(store.stat('ref1').labels, { keep: 'me', [refLabel]: 'ref1' });
  assert.deepEqual(
    store.walk([`labels."${refLabel}"==ref2,parent=="ref1"`]).map((info) => info.name),
    ['ref2'],
  );
  const [mount] = store.prepare('c', 'ref2', {});
  assert.equal(option(mount!.options, 'lowerdir'), '/layers/2:/layers/1');
  assert.deepEqual(store.view('v', 'ref1', {}), [{ type: 'bind', source: '/layers/1', options: ['ro', 'rbind'] }]);
  assert.deepEqual(
    store.remoteChain('c').map((remote) => remote.digest),
    ['d2', 'd1'],
  );
  assert.deepEqual(
    store.remoteLayers().map((remote) => remote.digest),
    ['d1', 'd2'],
  );
  assert.deepEqual(await store.usage('ref1'), { sizeBytes: 0, inodes: 0 });
  assert.ok(!existsSync(join(root, 'snapshots/1')));

  paths.delete('d1');
  assert.throws(() => store.mounts('c'), { code: 'unavailable' });
  assert.throws(() => store.prepare('e', 'ref2', {}), { code: 'unavailable' });
  assert.deepEqual(store.walk(['name==e']), []);
  store.remove('c');
  assert.equal(store.remove('ref2')?.digest, 'd2');
});

test('a layer that is twice in a chain is one lower directory, at the nearest place', limit, (t) => {
  const { store } = openStore(t, { layerPath: (digest) => `/layers/${digest}` });
  const commit = (name: string, parent: string, digest: string) =>
    assert.equal(store.commitRemote(name, parent, {}, layer(digest)), true);
  commit('a', '', 'A');
  commit('ae', 'a', 'E');
  commit('aeb', 'ae', 'B');
  commit('aebe', 'aeb', 'E');
  const [mount] = store.prepare('c', 'aebe', {});
  assert.equal(option(mount!.options, 'lowerdir'), '/layers/E:/layers/B:/layers/A');
  commit('aa', 'a', 'A');
  assert.deepEqual(store.view('v', 'aa', {}), [{ type: 'bind', source: '/layers/A', options: ['ro', 'rbind'] }]);
  assert.equal(option(store.prepare('d', 'aa', {})[0]!.options, 'lowerdir'), '/layers/A');
});

test('one reference on two parents makes two snapshots, each found by its parent', limit, async (t) => {
  const { store } = openStore(t, { layerPath: (digest) => `/layers/${digest}` });
  store.prepare('x', '', {});
  await store.commit('ns/1/base', 'x', {});
  store.commitRemote('base', '', {}, layer('d0'));
  assert.equal(store.commitRemote('top', 'base', {}, layer('d1')), true);
  assert.equal(store.commitRemote('top', 'ns/1/base', {}, layer('d1')), true);
  for (const parent of ['base', 'ns/1/base']) {
    const found = store.walk([`labels."${refLabel}"==top,parent=="${parent}"`]);
    assert.deepEqual(
      found.map((info) => info.parent),
      [parent],
    );
  }
});

test('a snapshot prepared without a parent can be given one when it is committed', limit, async (t) => {
  const { store } = openStore(t);
  for (const key of ['a', 'b', 'c', 'd']) store.prepare(key, '', {});
  await store.commit('A', 'a', {});
  await assert.rejects(store.commit('B', 'b', {}, 'missing'), { code: 'not-found' });
  await assert.rejects(store.commit('B', 'b', {}, 'c'), { code: 'failed-precondition' });
  await store.commit('B', 'b', {}, 'A');
  assert.equal(store.stat('B').parent, 'A');
  store.prepare('e', 'A', {});
  await assert.rejects(store.commit('E', 'e', {}, 'B'), { code: 'invalid-argument' });
  await store.commit('E', 'e', {}, 'A');
  assert.equal(store.stat('E').parent, 'A');
  assert.throws(() => store.remove('A'), { code: 'failed-precondition' });
  assert.equal(option(store.view('v', 'B', {})[0]!.options, 'lowerdir').split(':').length, 2);
});
