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
          throw new SnapshotError('already-exists', ref, `target snapshot ${ref} already exists, mounted lazily`);
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
      // Batches as in containerd, far below the message limit.
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
 * Set by containerd 2.3 if its configuration gives this snapshotter the capability "rebase": the chain ID of the parent of
 * a layer that is prepared without one, because layers are unpacked in parallel. Such a layer cannot be lazy: it would be
 * committed at once, without its parent.
 */
const parentChainLabel = 'containerd.io/snapshot/parent-chain-id';

/**
 * containerd's applier writes whiteouts only for an overlay mount, whose upperdir it uses without mounting it. On a bind
 * mount it would instead delete the files they name, which are not in this layer, and the whiteouts would be lost.
 */
function toUnchained(mount: Mount): Mount {
  if (mount.type !== 'bind') return mount;
  const options = mount.options.filter((option) => option !== 'rbind');
  return { type: 'overlay', source: 'overlay', options: [...options, `upperdir=${mount.source}`] };
}

/** Whether the snapshot exists, from another namespace or an earlier pull, and its layers can serve reads. */
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
