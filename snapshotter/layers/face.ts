import type { LayerReader } from '../store/layer-reader.ts';
import type { LayerStore } from '../store/layer-store.ts';
import type { InodeTable } from '../tree/inode-table.ts';

/** A view of a layer (views.ts). All views of a layer have the same chunks at the same offsets. */
export interface ShownView {
  readonly name: string;
  readonly table: InodeTable;
}

/** The key of a view's slot in the slot book. */
export function mountKey(digest: string, view: string): string {
  return view === '' ? digest : `${digest} ${view}`;
}

/** How layers are shown to the kernel: FUSE, or EROFS with fanotify. */
export interface Face {
  readonly kind: 'fuse' | 'erofs';
  /** Resolves with a directory that shows this view, for overlay's lowerdir. */
  attach(store: LayerStore, reader: LayerReader, view: ShownView): Promise<string>;
  /** Once resolved, this mount no longer uses the store's descriptor. Rejects and stays attached while in use. */
  detach(store: LayerStore, view: string): Promise<void>;
  /** Reads of present content answered by this process; absent where the kernel answers them. */
  readHits?(): number;
  /** Every chunk is present, so the face need not guard holes any more. */
  completed?(store: LayerStore, views: readonly string[]): void;
  /** Narrow: only recorded ranges of this layer are prefetched, so readers are to ask for little around them. */
  setReadahead?(store: LayerStore, views: readonly string[], width: 'narrow' | 'usual'): void;
  /** After a takeover, once all layers are attached again: serves the reads that wait. */
  resume?(): Promise<void>;
  /** Ends and leaves the mounts to the next daemon; they break unless a keeper holds them meanwhile. */
  release?(): Promise<void>;
  /** A face on the same server whose views the next daemon does not hear of: it unmounts what is left of them. */
  unrecorded(): Face;
  /** Unmounts. False if something is in use and stays mounted. */
  close(): Promise<boolean>;
}
