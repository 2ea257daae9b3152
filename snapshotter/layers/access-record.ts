import { appendFileSync } from 'node:fs';
import type { Digest } from '../registry/digest.ts';

export interface AccessRecord {
  /** Records the first read of a file. */
  add(layer: Digest, path: string): void;
  /** Writes the lines still in memory. */
  flush(): void;
}

/**
 * Appends `{"layer":"sha256:…","path":"usr/bin/python3"}` lines in order of first read over all layers: the order in which
 * the converter places files. Written once per turn of the event loop; a disk error is reported once.
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
