import type { Digest } from '../registry/digest.ts';

/** State of one layer: fetch, convert and push, or `cached` and push. */
export type ConvertProgress = {
  /** Index of the layer, below `layerCount`. */
  readonly layer: number;
  readonly layerCount: number;
  readonly source: Digest;
} & (
  | { readonly phase: 'fetch' | 'convert'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly phase: 'cached' | 'push'; readonly totalBytes: number }
  | { readonly phase: 'done'; readonly totalBytes: number; readonly outcome: PushOutcome }
);

/** `present`: the target had it; `mounted`: linked from another repository of the registry. */
export type PushOutcome = 'pushed' | 'present' | 'mounted';
