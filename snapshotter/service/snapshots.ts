import type { Snapshots, Info as WireInfo, Kind as WireKind } from '../api/types/snapshots.ts';
import type { Mount as WireMount } from '../api/types/types.ts';
import { type Partially, timestampOf } from '../api/well-known.ts';
import type { Log } from '../platform/log.ts';
import { SnapshotError } from '../snapshots/error.ts';
import { type Info, type Kind, type Mount, refLabel } from '../snapshots/record.ts';
import type { SnapshotStore } from '../snapshots/store.ts';
import type { LazyLayers } from './lazy-layers.ts';
import type { Handlers } from './server.ts';
import { RequestError } from './status.ts';

/** The ten methods of containerd's snapshots service. */
export function snapshotsService(store: SnapshotStore, lazy: LazyLayers, log: Log): Handlers<Snapshots> {
  return {
    async prepare({ key, parent, labels }, { signal }) {
      const ref = labels[refLabel];
      const isUnchained = parent === '' && (labels[parentChainLabel] ?? '') !== '';
      if (ref !== undefined && ref !== '' && !isUnchained) {
        store.checkCreate(key, parent);
        if (
          (await isServed(store, lazy, ref, parent, signal)) ||
          (await lazy.tryPrepare(ref, parent, labels, signal))
        ) {
          throw new SnapshotError('already-exists', ref, `target snapshot ${ref} exists already, mounted lazily`);
        }
      }
      await lazy.requireChain(parent, signal);
      const mounts = store.prepare(key, parent, labels);
      return { mounts: (isUnchained ? mounts.map(toUnchained) : mounts).map(toWireMount) };
    },

    async view({ key, parent, labels }, { signal }) {
      await lazy.requireChain(parent, signal);
      return { mounts: store.view(key, parent, labels).map(toWireMount) };
    },

    async mounts({ key }, { signal }) {
      await lazy.requireChain(requireName(key), signal);
      return { mounts: store.mounts(key).map(toWireMount) };
    },

    async commit({ name, key, labels, parent }, { signal }) {
      await store.commit(name, requireName(key), labels, parent, signal);
      return {};
    },

    async remove({ key }) {
      const layer = store.remove(requireName(key));
      if (layer !== undefined) lazy.release(layer);
      return {};
    },

    async stat({ key }) {
      return { info: toWireInfo(store.stat(requireName(key))) };
    },

    async update({ info, updateMask }) {
      if (info === null) throw new RequestError('Update: the request has no info');
      return { info: toWireInfo(store.update(requireName(info.name), info.labels, updateMask?.paths ?? [])) };
    },

    *list({ filters }) {
      const found = store.walk(filters);
      // As containerd: blocks that stay far below the message limit.
      for (let start = 0; start < found.length; start += 100) {
        yield { info: found.slice(start, start + 100).map(toWireInfo) };
      }
    },

    async usage({ key }, { signal }) {
      const { sizeBytes, inodes } = await store.usage(requireName(key), signal);
      return { size: sizeBytes, inodes };
    },

    async cleanup() {
      const failed = await store.cleanup();
      for (const path of failed) log.warn({ path }, 'directory of a removed snapshot could not be deleted');
      return {};
    },
  };
}

/**
 * containerd 2.3, where its configuration gives this snapshotter the capability "rebase": the chain that the layer belongs
 * on, although the snapshot is prepared without a parent because layers are unpacked at the same time. Such a layer cannot
 * be lazy: it would be committed at once, and on nothing.
 */
const parentChainLabel = 'containerd.io/snapshot/parent-chain-id';

/**
 * containerd's applier keeps whiteouts only where it is given an overlay, of which it takes the upperdir without mounting
 * it; on a bind mount it would delete what they name from this layer, which has nothing of the kind.
 */
function toUnchained(mount: Mount): Mount {
  if (mount.type !== 'bind') return mount;
  const options = mount.options.filter((option) => option !== 'rbind');
  return { type: 'overlay', source: 'overlay', options: [...options, `upperdir=${mount.source}`] };
}

/** Another namespace, or an earlier pull, has it: true if it can serve now. */
async function isServed(store: SnapshotStore, lazy: LazyLayers, ref: string, parent: string, signal: AbortSignal) {
  const found = store.findRemote(ref, parent);
  if (found === undefined) return false;
  return lazy.requireChain(found.name, signal).then(
    () => true,
    () => false,
  );
}

function requireName(key: string): string {
  if (key === '') throw new RequestError('the key of the snapshot is empty');
  return key;
}

const wireKinds: Readonly<Record<Kind, WireKind>> = { view: 'VIEW', active: 'ACTIVE', committed: 'COMMITTED' };

function toWireInfo(info: Info): Partially<WireInfo> {
  return {
    name: info.name,
    parent: info.parent,
    kind: wireKinds[info.kind],
    createdAt: timestampOf(info.createdMs),
    updatedAt: timestampOf(info.updatedMs),
    labels: { ...info.labels },
  };
}

function toWireMount(mount: Mount): Partially<WireMount> {
  return { type: mount.type, source: mount.source, options: [...mount.options] };
}
