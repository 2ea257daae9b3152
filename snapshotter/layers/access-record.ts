import { appendFileSync } from 'node:fs';
import type { Digest } from '../registry/digest.ts';

export interface AccessRecord {
  /** The first read of a file of a layer. */
  add(layer: Digest, path: string): void;
  /** Writes what is still in memory. */
  flush(): void;
}

/**
 * Appends `{"layer":"sha256:…","path":"usr/bin/python3"}` lines, in order of first read over all layers, which is the
 * order the converter places the files in. Written once per turn of the event loop; a failing disk is reported once.
 */
export function createAccessRecord(file: string, onError: (error: unknown) => void): AccessRecord {
  let lines = '';
  let failed = false;
  const flush = (): void => {
    if (lines === '') return;
    const text = lines;
    lines = '';
    try {
      appendFileSync(file, text, { mode: 0o600 });
    } catch (error) {
      if (!failed) onError(error);
      failed = true;
    }
  };
  return {
    add(layer, path) {
      if (lines === '') setImmediate(flush);
      lines += `${JSON.stringify({ layer, path })}\n`;
    },
    flush,
  };
}
