import assert from 'node:assert/strict';
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Info } from '../../api/types/snapshots.ts';
import { dateOf } from '../../api/well-known.ts';
import { whileMounted } from '../../../testkit/mounts.ts';
import {
  addLayer,
  type Change,
  flatten,
  list,
  rejects,
  rooted,
  type SuiteCase,
  type SuiteContext,
  stat,
} from './suite-context.ts';
import { fileCases } from './suite-files.ts';
import { describeTree } from './tree.ts';

const ruleCases: readonly SuiteCase[] = [
  { title: 'layers are prepared, changed, committed, viewed and removed', run: checkBasic },
  { title: 'Stat finds an active snapshot with its kind and parent', run: checkStatActive },
  { title: 'Stat finds a committed snapshot, and its active key no longer exists', run: checkStatCommitted },
  { title: 'Stat returns the direct parent', run: checkTransitivity },
  { title: 'Prepare and View refuse a key that is in use', run: checkKeysAreUnique },
  { title: 'Update changes labels by mask and nothing else', run: checkUpdate },
  { title: 'a removed key and name can be used again', run: checkRemove },
  { title: 'List selects by name, parent, kind and labels', run: checkWalk },
  { title: 'a snapshot with a child cannot be removed', run: checkRemoveIntermediate },
  { title: 'a view cannot be written to', run: checkViewReadonly },
  { title: 'Stat works during List', run: checkStatInWalk },
  { title: 'the root of a snapshot has mode 0755', run: checkRootPermission },
];

/**
 * The cases of containerd's snapshotter test suite (core/snapshots/testsuite), over gRPC. They apply to any snapshotter, so
 * they also run against containerd's overlayfs, which validates them.
 */
export const suite: readonly SuiteCase[] = [...ruleCases, ...fileCases];

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
      const calledMs = Date.now();
      const { info } = await client.update({
        snapshotter,
        info: { name, parent: `${prefix}doesnotexist`, labels: { ...rooted, ...labels } },
        updateMask: { paths },
      });
      assert.ok(info);
      assert.deepEqual([info.createdAt, info.kind, info.parent], [before.createdAt, kind, parent]);
      const updatedMs = dateOf(info.updatedAt)!.getTime();
      assert.ok(updatedMs >= calledMs && updatedMs <= Date.now(), `${name}: updated at ${updatedMs}`);
      assert.deepEqual(await stat(context, name), info);
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
    // An absent label compares as empty.
    [['a-np', 'p', 'a', 'v'], [`labels.l~="^$",${tagged}`]],
    [['p-wl', 'a-wl', 'v-wl', 'a-np-wl'], [`labels.l!="",${tagged}`]],
    [[], [`name==${p}nobody`]],
  ];
  for (const [names, filters] of expected) {
    const found = (await list(context, filters)).map((info) => info.name.slice(p.length));
    assert.deepEqual(found.sort(), names.sort(), filters.join(' or '));
  }
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
