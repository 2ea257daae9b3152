import type { FuzzCounts } from './engine.ts';

/** `shared`: LE32 number of executions, LE32 length of the current input, then the input. */
export interface FuzzWorkerData {
  readonly name: string;
  readonly seed: number;
  readonly durationMs: number;
  readonly shared: SharedArrayBuffer;
}

export const inputHeaderBytes = 8;

export type MessageFromFuzzer =
  | { readonly kind: 'find'; readonly input: Uint8Array; readonly error: string }
  | { readonly kind: 'done'; readonly counts: FuzzCounts };
