import type { LayerReader } from '../store/layer-reader.ts';
import type { LayerStore } from '../store/layer-store.ts';
import type { InodeTable } from '../tree/inode-table.ts';

/** One of a layer's trees (views.ts); all have the same chunks in the same places. */
export interface ShownView {
  readonly name: string;
  readonly table: InodeTable;
}

/** What a slot book files a mount under. */
export function mountKey(digest: string, view: string): string {
  return view === '' ? digest : `${digest} ${view}`;
}

/** A way to show layers to the kernel: FUSE, or EROFS with fanotify. */
export interface Face {
  readonly kind: 'fuse' | 'erofs';
  /** Resolves to a directory that shows this tree of the layer, good for overlay's lowerdir. */
  attach(store: LayerStore, reader: LayerReader, view: ShownView): Promise<string>;
  /** When it resolves nothing touches that mount's descriptor any more. Rejects, and leaves it attached, if it is in use. */
  detach(store: LayerStore, view: string): Promise<void>;
  /** Reads of present content that this process answered so far; left out where the kernel answers them itself. */
  readHits?(): number;
  /** Every chunk is there: a face that guards holes need not any longer. */
  completed?(store: LayerStore, views: readonly string[]): void;
  /** After a daemon before this one left its mounts: all its layers are attached again, serve what waits. */
  resume?(): Promise<void>;
  /** Ends and leaves the mounts to the daemon that follows; without somebody who keeps them meanwhile they break. */
  release?(): Promise<void>;
  /** Unmounts. False: something is in use and had to stay. */
  close(): Promise<boolean>;
}
