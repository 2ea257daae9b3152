import type { LayerRequest } from '../layers/layer-request.ts';
import type { Digest } from '../registry/digest.ts';

export type Kind = 'view' | 'active' | 'committed';

export type Labels = Readonly<Record<string, string>>;

/** A snapshot as clients see it. `name` is its key while active, and the name of its commit afterwards. */
export interface Info {
  readonly name: string;
  /** '' for none. */
  readonly parent: string;
  readonly kind: Kind;
  readonly labels: Labels;
  readonly createdMs: number;
  readonly updatedMs: number;
}

export interface Usage {
  readonly sizeBytes: number;
  readonly inodes: number;
}

/** One mount(2); the caller chooses the target. */
export interface Mount {
  readonly type: 'bind' | 'overlay';
  readonly source: string;
  readonly options: readonly string[];
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A snapshot whose content is a lazily mounted layer. */
export interface RemoteLayer {
  readonly digest: Digest;
  /** Which view of the layer (layers/views.ts) it shows; absent in records of 0.1, which had one view only. */
  readonly view?: string;
  /** Mounts the layer again after a restart. */
  readonly request: LayerRequest;
}

/** A lazy layer with its parent snapshot. */
export interface StackedLayer extends RemoteLayer {
  /** '' for none. */
  readonly parent: string;
}

/** The label by which containerd's metadata layer finds a snapshot that the snapshotter committed by itself. */
export const refLabel = 'containerd.io/snapshot.ref';
