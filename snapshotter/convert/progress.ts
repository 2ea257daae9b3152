import type { Digest } from '../registry/digest.ts';

/** Progress of one layer: `fetch`, `convert`, `push`, `done`, or `cached`, `push`, `done`. */
export type ConvertProgress = {
  /** From 0, below `layerCount`. */
  readonly layer: number;
  readonly layerCount: number;
  readonly source: Digest;
  /** Of the layer as it is fetched, and of all layers of the image. */
  readonly sourceBytes: number;
  readonly imageBytes: number;
} & (
  | { readonly phase: 'fetch' | 'convert' | 'push'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly phase: 'cached'; readonly totalBytes: number }
  | { readonly phase: 'done'; readonly totalBytes: number; readonly outcome: PushOutcome }
);

/** `present`: the target had it; `mounted`: linked from another repository of the registry. */
export type PushOutcome = 'pushed' | 'present' | 'mounted';
