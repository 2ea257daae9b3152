import type { Digest } from '../registry/digest.ts';

/** What a conversion is at. A layer goes through fetch, convert and push, or straight from `cached` to push. */
export type ConvertProgress = {
  /** From 0, of `layerCount`. */
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
