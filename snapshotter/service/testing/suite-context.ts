import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { RpcError, type ServiceClient } from '../../api/client.ts';
import type { Info, Snapshots } from '../../api/types/snapshots.ts';
import { mountAt } from '../../../harness/host/mounts.ts';
import { unmount, whileMounted } from '../../../testkit/mounts.ts';
import { describeTree } from './tree.ts';

export interface SuiteContext {
  readonly client: ServiceClient<Snapshots>;
  /** The snapshotter's name in containerd; a snapshotter's own service ignores it. */
  readonly snapshotter: string;
  /** An empty directory for this case. */
  readonly work: string;
  /** Of every key of the case, because cases share a snapshotter. */
  readonly prefix: string;
}

export interface SuiteCase {
  readonly title: string;
  run(context: SuiteContext): Promise<void>;
}

/** What a layer does to a directory. */
export type Change = (root: string) => void;

/** Keeps a snapshot from containerd's garbage collector. */
export const rooted = { 'containerd.io/gc.root': '2024-01-01T00:00:00Z' };

/** Commits one layer per change; views and snapshots on every `viewEvery`th layer and the last must show all changes so far. */
export async function checkLayers(context: SuiteContext, changes: readonly Change[], viewEvery = 1): Promise<void> {
  const { client, snapshotter, work, prefix } = context;
  let parent = '';
  for (const [index, change] of changes.entries()) {
    parent = await addLayer(context, parent, `layer-${index}`, change);
    if (index % viewEvery !== 0 && index !== changes.length - 1) continue;
    const expected = flatten(work, changes.slice(0, index + 1));
    for (const method of ['view', 'prepare'] as const) {
      const key = `${prefix}${method}-${index}`;
      const { mounts } = await client[method]({ snapshotter, key, parent, labels: rooted });
      await whileMounted(mounts, join(work, 'm'), (root) => assert.deepEqual(describeTree(root), expected));
      await client.remove({ snapshotter, key });
    }
  }
}

/** Prepares, mounts, changes, unmounts, commits. Returns the committed name. */
export async function addLayer(context: SuiteContext, parent: string, name: string, change: Change): Promise<string> {
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

export function flatten(work: string, changes: readonly Change[]): string[] {
  const flat = join(work, 'flat');
  mkdirSync(flat, { mode: 0o755 });
  try {
    for (const change of changes) change(flat);
    return describeTree(flat);
  } finally {
    rmSync(flat, { recursive: true });
  }
}

export async function stat({ client, snapshotter }: SuiteContext, key: string): Promise<Info> {
  const { info } = await client.stat({ snapshotter, key });
  assert.ok(info);
  return info;
}

export async function list({ client, snapshotter }: SuiteContext, filters: string[] = []): Promise<Info[]> {
  const infos: Info[] = [];
  for await (const { info } of client.list({ snapshotter, filters })) infos.push(...info);
  return infos;
}

export async function rejects(call: Promise<unknown>, code: RpcError['code'], message = /./): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof RpcError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}
