import type { LayerRequest } from '../layers/layer-request.ts';
import type { Digest } from '../registry/digest.ts';

export type Kind = 'view' | 'active' | 'committed';

export type Labels = Readonly<Record<string, string>>;

/** What clients see of a snapshot. `name` is the key while it is active, the name it was committed under afterwards. */
export interface Info {
  readonly name: string;
  /** '' where there is none. */
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

/** One mount(2): `target` is the caller's affair. */
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
  /** Which of the layer's trees this snapshot shows; none in records of versions that knew only one. */
  readonly view?: string;
  /** What it takes to mount the layer again after a restart. */
  readonly request: LayerRequest;
}

/** One with the snapshot that it lies on. */
export interface StackedLayer extends RemoteLayer {
  /** '' where there is none. */
  readonly parent: string;
}

/** The label under which containerd's metadata layer looks for a snapshot that it did not make itself. */
export const refLabel = 'containerd.io/snapshot.ref';
