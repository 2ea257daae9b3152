import { appendFileSync } from 'node:fs';
import type { Digest } from '../registry/digest.ts';

export interface AccessRecord {
  /** Records the first read of a range of a file. */
  add(layer: Digest, path: string, offset: number, sizeBytes: number): void;
  /** Writes the lines still in memory. */
  flush(): void;
}

interface Line {
  readonly layer: Digest;
  readonly path: string;
  readonly offset: number;
  size: number;
}

/**
 * Appends `{"layer":"sha256:…","path":"usr/bin/python3","offset":0,"size":65536}` lines, in bytes of the file, in order of
 * first read over all layers: the order in which the converter places files and the daemon prefetches. The kernel's
 * readahead is part of a read and cannot be told from what the reader wanted; see recordedReadaheadKib. Written once per
 * turn of the event loop; a disk error is reported once.
 */
export function createAccessRecord(file: string, onError: (error: unknown) => void): AccessRecord {
  let lines: Line[] = [];
  let failed = false;
  const flush = (): void => {
    if (lines.length === 0) return;
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    lines = [];
    try {
      appendFileSync(file, text, { mode: 0o600 });
    } catch (error) {
      if (!failed) onError(error);
      failed = true;
    }
  };
  return {
    add(layer, path, offset, sizeBytes) {
      if (lines.length === 0) setImmediate(flush);
      const last = lines.at(-1);
      if (last?.layer === layer && last.path === path && last.offset + last.size === offset) last.size += sizeBytes;
      else lines.push({ layer, path, offset, size: sizeBytes });
    },
    flush,
  };
}
