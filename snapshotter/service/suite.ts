import assert from 'node:assert/strict';
import { chownSync, linkSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RpcError, type ServiceClient } from '../api/client.ts';
import type { Info, Snapshots } from '../api/types/snapshots.ts';
import { dateOf } from '../api/well-known.ts';
import { mountAt, unmount, whileMounted } from './testing/mounts.ts';
import { describeTree } from './testing/tree.ts';

/**
 * The cases of containerd's snapshotter test suite (core/snapshots/testsuite), over gRPC. They say what any snapshotter
 * must do, so they run against containerd's overlayfs as well, which shows that they are right.
 */
export interface SuiteContext {
  readonly client: ServiceClient<Snapshots>;
  /** The name the service knows the snapshotter by; a snapshotter's own service ignores it. */
  readonly snapshotter: string;
  /** An empty directory of the case's own. */
  readonly work: string;
  /** Starts every key of the case: cases share a snapshotter. */
  readonly prefix: string;
}

export interface SuiteCase {
  readonly title: string;
  run(context: SuiteContext): Promise<void>;
}

export const suite: readonly SuiteCase[] = [
  { title: 'layers are prepared, changed, committed, viewed and removed', run: checkBasic },
  { title: 'an active snapshot is there, with its kind and parent', run: checkStatActive },
  { title: 'a committed snapshot is there, its key is gone', run: checkStatCommitted },
  { title: 'parents are followed one step at a time', run: checkTransitivity },
  { title: 'a key is used once, by Prepare or View', run: checkKeysAreUnique },
  { title: 'Update changes labels by mask and nothing else', run: checkUpdate },
  { title: 'a removed key and name can be used again', run: checkRemove },
  { title: 'List selects by name, parent, kind and labels', run: checkWalk },
  {
    title: 'files changed in an upper layer show their new content and mode',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'etc'), { mode: 0o700 });
          writeFileSync(join(root, 'etc/hosts'), 'mydomain 10.0.0.1');
          writeFileSync(join(root, 'etc/profile'), 'PATH=/usr/bin', { mode: 0o644 });
        },
        (root) => {
          writeFileSync(join(root, 'etc/hosts'), 'mydomain 10.0.0.2');
          rmSync(join(root, 'etc/profile'));
          writeFileSync(join(root, 'etc/profile'), 'PATH=/usr/bin', { mode: 0o600 });
          mkdirSync(join(root, 'root'), { mode: 0o700 });
          writeFileSync(join(root, 'root/.bashrc'), 'PATH=/usr/sbin:/usr/bin');
        },
      ]),
  },
  {
    title: 'a directory removed and made again hides what was below it',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'lib'), { mode: 0o700 });
          writeFileSync(join(root, 'lib/hidden'), '');
        },
        (root) => {
          rmSync(join(root, 'lib'), { recursive: true });
          mkdirSync(join(root, 'lib'), { mode: 0o700 });
          writeFileSync(join(root, 'lib/not-hidden'), '');
        },
        (root) => writeFileSync(join(root, 'lib/newfile'), ''),
      ]),
  },
  {
    title: 'a change of owner reaches every level',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'opt/a/b'), { recursive: true, mode: 0o700 });
          writeFileSync(join(root, 'opt/a/b/file.txt'), 'hello');
        },
        (root) => {
          for (const name of ['opt', 'opt/a', 'opt/a/b', 'opt/a/b/file.txt']) chownSync(join(root, name), 1, 1);
        },
      ]),
  },
  { title: 'owners and modes of directories survive a commit', run: checkDirectoryPermissions },
  { title: 'a snapshot with a child cannot be removed', run: checkRemoveIntermediate },
  {
    title: 'a file deleted in a layer stays deleted above it',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          writeFileSync(join(root, 'foo'), 'foo\n');
          writeFileSync(join(root, 'foobar'), 'foobar\n');
        },
        (root) => rmSync(join(root, 'foobar')),
        () => {},
      ]),
  },
  {
    title: 'files move from a lower layer to a new place',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'dir1'), { mode: 0o700 });
          writeFileSync(join(root, 'dir1/f1'), 'Hello');
          mkdirSync(join(root, 'dir2'), { mode: 0o700 });
          writeFileSync(join(root, 'dir2/f2'), '...');
        },
        (root) => {
          mkdirSync(join(root, 'dir3'), { mode: 0o700 });
          writeFileSync(join(root, 'dir3/f1'), 'Hello');
          rmSync(join(root, 'dir1'), { recursive: true });
          linkSync(join(root, 'dir2/f2'), join(root, 'dir3/f2'));
          rmSync(join(root, 'dir2/f2'));
        },
      ]),
  },
  { title: 'a view cannot be written to', run: checkViewReadonly },
  { title: 'snapshots can be looked at while they are listed', run: checkStatInWalk },
  { title: 'the root of a snapshot has mode 0755', run: checkRootPermission },
  {
    title: 'files are renamed over others of a lower layer',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'somefiles'), { mode: 0o700 });
          writeFileSync(join(root, 'somefiles/f1'), 'was here first!');
          writeFileSync(join(root, 'somefiles/f2'), 'nothing interesting');
        },
        (root) => {
          writeFileSync(join(root, 'somefiles/f1-overwrite'), 'new content 1');
          renameSync(join(root, 'somefiles/f1-overwrite'), join(root, 'somefiles/f1'));
          renameSync(join(root, 'somefiles/f2'), join(root, 'somefiles/f3'));
        },
      ]),
  },
  { title: '128 layers are mounted at once', run: check128Layers },
];

type Change = (root: string) => void;

/** containerd's garbage collector takes what nothing refers to; this label keeps a snapshot. */
const rooted = { 'containerd.io/gc.root': '2024-01-01T00:00:00Z' };

async function checkBasic(context: SuiteContext): Promise<void> {
  const { client, snapshotter, work, prefix } = context;
  const first: Change = (root) => {
    writeFileSync(join(root, 'foo'), 'foo\n', { mode: 0o755 });
    mkdirSync(join(root, 'a/b/c'), { recursive: true });
  };
  const second: Change = (root) => {
    writeFileSync(join(root, 'bar'), 'bar\n', { mode: 0o755 });
    writeFileSync(join(root, 'foo'), 'bar\n');
    rmSync(join(root, 'a/b'), { recursive: true });
  };
  const [preparing, committed, next, nextCommitted, view] = [
    'preparing',
    'committed',
    'next',
    'committed-next',
    'view',
  ].map((name) => prefix + name) as [string, string, string, string, string];
  const { mounts } = await client.prepare({ snapshotter, key: preparing, labels: rooted });
  await whileMounted(mounts, join(work, 'm'), first);
  await client.commit({ snapshotter, name: committed, key: preparing, labels: rooted });
  const base = await stat(context, committed);
  assert.deepEqual([base.parent, base.kind], ['', 'COMMITTED']);
  await rejects(client.stat({ snapshotter, key: preparing }), 'NOT_FOUND');

  const prepared = await client.prepare({ snapshotter, key: next, parent: committed, labels: rooted });
  await whileMounted(prepared.mounts, join(work, 'm'), (root) => {
    assert.deepEqual(describeTree(root), flatten(work, [first]));
    second(root);
  });
  const active = await stat(context, next);
  assert.deepEqual([active.parent, active.kind], [committed, 'ACTIVE']);
  await client.commit({ snapshotter, name: nextCommitted, key: next, labels: rooted });
  const top = await stat(context, nextCommitted);
  assert.deepEqual([top.parent, top.kind], [committed, 'COMMITTED']);
  await rejects(client.stat({ snapshotter, key: next }), 'NOT_FOUND');

  const listed = (await list(context)).filter((info) => info.name.startsWith(prefix));
  assert.deepEqual(new Set(listed.map((info) => info.name)), new Set([committed, nextCommitted]));
  assert.deepEqual(
    listed.find((info) => info.name === nextCommitted),
    top,
  );

  const viewed = await client.view({ snapshotter, key: view, parent: nextCommitted, labels: rooted });
  await whileMounted(viewed.mounts, join(work, 'm'), (root) => {
    assert.deepEqual(describeTree(root), flatten(work, [first, second]));
  });
  await client.remove({ snapshotter, key: view });
  await rejects(client.remove({ snapshotter, key: committed }), 'FAILED_PRECONDITION', /remove/);
  await client.remove({ snapshotter, key: nextCommitted });
  await client.remove({ snapshotter, key: committed });
}

async function checkStatActive(context: SuiteContext): Promise<void> {
  const { client, snapshotter, work, prefix } = context;
  const key = `${prefix}preparing`;
  const { mounts } = await client.prepare({ snapshotter, key, labels: rooted });
  await whileMounted(mounts, join(work, 'm'), async (root) => {
    writeFileSync(join(root, 'foo'), 'foo\n');
    const info = await stat(context, key);
    assert.deepEqual([info.name, info.kind, info.parent], [key, 'ACTIVE', '']);
  });
}

async function checkStatCommitted(context: SuiteContext): Promise<void> {
  const { client, snapshotter, work, prefix } = context;
  const { mounts } = await client.prepare({ snapshotter, key: `${prefix}preparing`, labels: rooted });
  await whileMounted(mounts, join(work, 'm'), async (root) => {
    writeFileSync(join(root, 'foo'), 'foo\n');
    await client.commit({ snapshotter, name: `${prefix}committed`, key: `${prefix}preparing`, labels: rooted });
  });
  const info = await stat(context, `${prefix}committed`);
  assert.deepEqual([info.name, info.kind, info.parent], [`${prefix}committed`, 'COMMITTED', '']);
}

async function checkTransitivity(context: SuiteContext): Promise<void> {
  const a = await addLayer(context, '', 'a', (root) => writeFileSync(join(root, 'foo'), 'foo\n'));
  const b = await addLayer(context, a, 'b', (root) => writeFileSync(join(root, 'foo'), 'foo bar\n'));
  const info = await stat(context, b);
  assert.equal(info.parent, a);
  assert.equal((await stat(context, info.parent)).parent, '');
}

async function checkKeysAreUnique(context: SuiteContext): Promise<void> {
  const { client, snapshotter, prefix } = context;
  const parent = await addLayer(context, '', 'a', () => {});
  for (const [first, second] of [
    ['prepare', 'view'],
    ['prepare', 'prepare'],
    ['view', 'view'],
  ] as const) {
    const key = `${prefix}${first}-${second}`;
    await client[first]({ snapshotter, key, parent, labels: rooted });
    await rejects(client[second]({ snapshotter, key, parent, labels: rooted }), 'ALREADY_EXISTS');
  }
}

async function checkUpdate(context: SuiteContext): Promise<void> {
  const { client, snapshotter, prefix } = context;
  const startedMs = Date.now();
  const kinds = await createOneOfEach(context);
  const endedMs = Date.now();
  for (const [name, kind, parent] of kinds) {
    const before = await stat(context, name);
    const createdMs = dateOf(before.createdAt)!.getTime();
    assert.ok(createdMs >= startedMs && createdMs <= endedMs, `${name}: created at ${createdMs}`);
    assert.deepEqual(before.createdAt, before.updatedAt);
    assert.deepEqual([before.name, before.kind, before.parent], [name, kind, parent]);

    const update = async (labels: Record<string, string>, paths: string[]) => {
      const { info } = await client.update({
        snapshotter,
        info: { name, parent: `${prefix}doesnotexist`, labels: { ...rooted, ...labels } },
        updateMask: { paths },
      });
      assert.ok(info);
      assert.deepEqual([info.createdAt, info.kind, info.parent], [before.createdAt, kind, parent]);
      const { 'containerd.io/gc.root': _, ...rest } = info.labels;
      return rest;
    };
    assert.deepEqual(await update({ l1: 'v1', l2: 'v2', l3: 'v3' }, []), { l1: 'v1', l2: 'v2', l3: 'v3' });
    assert.deepEqual(await update({ l1: 'updated', l4: 'v4' }, ['labels.l1', 'labels.l2']), {
      l1: 'updated',
      l3: 'v3',
    });
    assert.deepEqual(await update({ l4: 'v4' }, ['labels']), { l4: 'v4' });
    await rejects(update({}, ['parent']), 'INVALID_ARGUMENT');
    const { updatedAt } = await stat(context, name);
    assert.ok(dateOf(updatedAt)!.getTime() >= createdMs);
  }
}

async function checkRemove(context: SuiteContext): Promise<void> {
  const { client, snapshotter, prefix } = context;
  const [committed, reused] = [`${prefix}committed`, `${prefix}reuse`];
  await client.prepare({ snapshotter, key: `${prefix}a`, labels: rooted });
  await client.commit({ snapshotter, name: committed, key: `${prefix}a`, labels: rooted });
  await client.prepare({ snapshotter, key: reused, parent: committed, labels: rooted });
  await client.remove({ snapshotter, key: reused });
  await client.view({ snapshotter, key: reused, parent: committed, labels: rooted });
  await client.remove({ snapshotter, key: reused });
  await client.prepare({ snapshotter, key: reused, labels: rooted });
  await client.remove({ snapshotter, key: committed });
  await client.commit({ snapshotter, name: committed, key: reused, labels: rooted });
}

async function checkWalk(context: SuiteContext): Promise<void> {
  const { client, snapshotter, prefix } = context;
  const [p, tag] = [prefix, `${prefix}walk`];
  const labels = (l?: string) => ({ 'containerd.io/gc.root': tag, ...(l === undefined ? {} : { l }) });
  await client.prepare({ snapshotter, key: `${p}a-np`, labels: labels() });
  await client.prepare({ snapshotter, key: `${p}p-tmp`, labels: labels() });
  await client.commit({ snapshotter, name: `${p}p`, key: `${p}p-tmp`, labels: labels() });
  await client.prepare({ snapshotter, key: `${p}a`, parent: `${p}p`, labels: labels() });
  await client.view({ snapshotter, key: `${p}v`, parent: `${p}p`, labels: labels() });
  await client.prepare({ snapshotter, key: `${p}p-wl-tmp`, labels: labels() });
  await client.commit({ snapshotter, name: `${p}p-wl`, key: `${p}p-wl-tmp`, labels: labels('1') });
  await client.prepare({ snapshotter, key: `${p}a-wl`, parent: `${p}p-wl`, labels: labels('2') });
  await client.view({ snapshotter, key: `${p}v-wl`, parent: `${p}p-wl`, labels: labels('3') });
  await client.prepare({ snapshotter, key: `${p}a-np-wl`, labels: labels('2') });

  const tagged = `labels."containerd.io/gc.root"==${tag}`;
  const expected: [string[], string[]][] = [
    [['a-np', 'p', 'a', 'v', 'p-wl', 'a-wl', 'v-wl', 'a-np-wl'], [tagged]],
    [['a-np', 'a', 'a-wl', 'a-np-wl'], [`kind==active,${tagged}`]],
    [['v', 'v-wl'], [`kind==view,${tagged}`]],
    [['p', 'p-wl'], [`kind==committed,${tagged}`]],
    [
      ['p', 'a-np-wl'],
      [`name==${p}p`, `name==${p}a-np-wl`],
    ],
    [['a-wl'], [`name==${p}a-wl,labels.l`]],
    [['a', 'v'], [`parent==${p}p`]],
    [['a', 'v', 'a-wl', 'v-wl'], [`parent!="",${tagged}`]],
    [['p-wl', 'a-wl', 'v-wl', 'a-np-wl'], [`labels.l,${tagged}`]],
    [['a-wl', 'a-np-wl'], [`labels.l==2,${tagged}`]],
    [['v-wl'], [`labels.l~="^[3-9]$",${tagged}`]],
    [[], [`name==${p}nobody`]],
  ];
  for (const [names, filters] of expected) {
    const found = (await list(context, filters)).map((info) => info.name.slice(p.length));
    assert.deepEqual(found.sort(), names.sort(), filters.join(' or '));
  }
}

async function checkDirectoryPermissions(context: SuiteContext): Promise<void> {
  const owned = (root: string, ...names: string[]) => {
    for (const name of names) chownSync(join(root, name), 1, 1);
  };
  await checkLayers(context, [
    (root) => {
      for (const name of ['dir1', 'dir2', 'dir3', 'dir4', 'dir5']) mkdirSync(join(root, name), { mode: 0o700 });
      writeFileSync(join(root, 'dir4/f1'), '...');
      writeFileSync(join(root, 'dir5/f1'), '...');
      owned(root, 'dir1', 'dir2', 'dir3', 'dir5', 'dir5/f1');
    },
    (root) => {
      chownSync(join(root, 'dir2'), 0, 0);
      rmSync(join(root, 'dir3'), { recursive: true });
      owned(root, 'dir4', 'dir4/f1');
    },
    (root) => {
      mkdirSync(join(root, 'dir3'), { mode: 0o700 });
      rmSync(join(root, 'dir5'), { recursive: true });
      mkdirSync(join(root, 'dir5'), { mode: 0o700 });
      owned(root, 'dir3', 'dir5');
    },
  ]);
}

async function checkRemoveIntermediate(context: SuiteContext): Promise<void> {
  const { client, snapshotter, prefix } = context;
  const base = await addLayer(context, '', 'base', () => {});
  const middle = await addLayer(context, base, 'middle', () => {});
  const top = `${prefix}top`;
  await client.prepare({ snapshotter, key: top, parent: middle, labels: rooted });
  await rejects(client.remove({ snapshotter, key: middle }), 'FAILED_PRECONDITION');
  for (const key of [top, middle, base]) await client.remove({ snapshotter, key });
}

async function checkViewReadonly(context: SuiteContext): Promise<void> {
  const { client, snapshotter, work, prefix } = context;
  const base = await addLayer(context, '', 'base', () => {});
  const second = await addLayer(context, base, 'second', () => {});
  for (const parent of [base, second]) {
    const { mounts } = await client.view({ snapshotter, key: `${prefix}view`, parent, labels: rooted });
    await whileMounted(mounts, join(work, 'm'), (root) => {
      assert.throws(() => writeFileSync(join(root, 'testfile'), 'x'), { code: 'EROFS' });
    });
    await client.remove({ snapshotter, key: `${prefix}view` });
  }
}

async function checkStatInWalk(context: SuiteContext): Promise<void> {
  const { client, snapshotter, prefix } = context;
  await createOneOfEach(context);
  let seen = 0;
  for await (const { info: block } of client.list({ snapshotter })) {
    for (const info of block.filter((entry) => entry.name.startsWith(prefix))) {
      assert.deepEqual(await stat(context, info.name), info);
      seen++;
    }
  }
  assert.equal(seen, 6);
}

async function checkRootPermission(context: SuiteContext): Promise<void> {
  const { client, snapshotter, work, prefix } = context;
  const { mounts } = await client.prepare({ snapshotter, key: `${prefix}preparing`, labels: rooted });
  await whileMounted(mounts, join(work, 'm'), (root) => assert.equal(statSync(root).mode & 0o777, 0o755));
}

async function check128Layers(context: SuiteContext): Promise<void> {
  const changes: Change[] = [
    (root) => {
      writeFileSync(join(root, 'bottom'), 'way at the bottom\n');
      writeFileSync(join(root, 'overwriteme'), 'FIRST!\n');
      mkdirSync(join(root, 'addhere'));
      mkdirSync(join(root, 'onlyme'));
      writeFileSync(join(root, 'onlyme/bottom'), 'bye!\n');
    },
  ];
  for (let i = 1; i < 128; i++) {
    changes.push((root) => {
      writeFileSync(join(root, 'overwriteme'), `${i} WAS HERE!\n`);
      writeFileSync(join(root, `addhere/file-${i}`), 'same\n');
      rmSync(join(root, 'onlyme'), { recursive: true });
      mkdirSync(join(root, 'onlyme'));
      writeFileSync(join(root, `onlyme/file-${i}`), 'only me!\n');
    });
  }
  await checkLayers(context, changes, 16);
}

/** Applies changes one layer at a time; every `viewEvery`th layer, and the last, must show them all. */
async function checkLayers(context: SuiteContext, changes: readonly Change[], viewEvery = 1): Promise<void> {
  const { client, snapshotter, work, prefix } = context;
  let parent = '';
  for (const [index, change] of changes.entries()) {
    parent = await addLayer(context, parent, `layer-${index}`, change);
    if (index % viewEvery !== 0 && index !== changes.length - 1) continue;
    const key = `${prefix}view-${index}`;
    const { mounts } = await client.view({ snapshotter, key, parent, labels: rooted });
    await whileMounted(mounts, join(work, 'm'), (root) => {
      assert.deepEqual(describeTree(root), flatten(work, changes.slice(0, index + 1)));
    });
    await client.remove({ snapshotter, key });
  }
}

/** Prepares, mounts, changes, unmounts, commits. Returns the committed name. */
async function addLayer(context: SuiteContext, parent: string, name: string, change: Change): Promise<string> {
  const { client, snapshotter, work, prefix } = context;
  const key = `${prefix}${name}-active`;
  const { mounts } = await client.prepare({ snapshotter, key, parent, labels: rooted });
  const target = join(work, 'm');
  await mountAt(mounts, target);
  try {
    change(target);
  } finally {
    await unmount(target);
  }
  await client.commit({ snapshotter, name: prefix + name, key, labels: rooted });
  return prefix + name;
}

/** Two committed snapshots, two active, two views: name, kind, parent. */
async function createOneOfEach(context: SuiteContext): Promise<[string, Info['kind'], string][]> {
  const { client, snapshotter, prefix } = context;
  const [c1, c2, a1, a2, v1, v2] = ['c1', 'c2', 'a1', 'a2', 'v1', 'v2'].map((name) => prefix + name) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  await client.prepare({ snapshotter, key: `${c1}-a`, labels: rooted });
  await client.commit({ snapshotter, name: c1, key: `${c1}-a`, labels: rooted });
  await client.prepare({ snapshotter, key: `${c2}-a`, parent: c1, labels: rooted });
  await client.commit({ snapshotter, name: c2, key: `${c2}-a`, labels: rooted });
  await client.prepare({ snapshotter, key: a1, parent: c2, labels: rooted });
  await client.prepare({ snapshotter, key: a2, labels: rooted });
  await client.view({ snapshotter, key: v1, parent: c2, labels: rooted });
  await client.view({ snapshotter, key: v2, labels: rooted });
  return [
    [c1, 'COMMITTED', ''],
    [c2, 'COMMITTED', c1],
    [a1, 'ACTIVE', c2],
    [a2, 'ACTIVE', ''],
    [v1, 'VIEW', c2],
    [v2, 'VIEW', ''],
  ];
}

function flatten(work: string, changes: readonly Change[]): string[] {
  const flat = join(work, 'flat');
  mkdirSync(flat, { mode: 0o755 });
  try {
    for (const change of changes) change(flat);
    return describeTree(flat);
  } finally {
    rmSync(flat, { recursive: true });
  }
}

async function stat({ client, snapshotter }: SuiteContext, key: string): Promise<Info> {
  const { info } = await client.stat({ snapshotter, key });
  assert.ok(info);
  return info;
}

async function list({ client, snapshotter }: SuiteContext, filters: string[] = []): Promise<Info[]> {
  const infos: Info[] = [];
  for await (const { info } of client.list({ snapshotter, filters })) infos.push(...info);
  return infos;
}

async function rejects(call: Promise<unknown>, code: RpcError['code'], message = /./): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof RpcError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}
