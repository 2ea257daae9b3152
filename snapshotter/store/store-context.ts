import type { Log } from '../platform/log.ts';
import type { BlobSource } from '../registry/blob.ts';
import type { WindowPolicy } from './fetch-window.ts';
import type { InflatePool } from './inflate-pool.ts';
import type { LayerStore } from './layer-store.ts';
import type { LinkEstimate } from './link-estimate.ts';
import type { FetchMetrics } from './metrics.ts';
import type { FetchScheduler } from './scheduler.ts';

/** Hears what readers of a store wait for. */
export interface StoreObserver {
  opened(store: LayerStore): void;
  /** A reader waited for content at this offset of the data file, and it is present. */
  waited(store: LayerStore, dataOffset: number): void;
  /** The store's descriptor is about to be closed. */
  closing(store: LayerStore): void;
}

/** What a store needs to fetch; only `source` differs between layers. */
export interface StoreContext {
  readonly source: BlobSource;
  readonly scheduler: FetchScheduler;
  readonly inflaters: InflatePool;
  readonly link: LinkEstimate;
  readonly metrics: FetchMetrics;
  readonly trace?: Log['trace'];
  readonly policy?: WindowPolicy;
  readonly observer?: StoreObserver | undefined;
  /** Debounced notification that chunks were stored. */
  readonly onGrowth?: () => void;
  /** Called for each damaged chunk on disk. It is fetched again on demand. */
  readonly onDamage?: (chunk: number) => void;
}
