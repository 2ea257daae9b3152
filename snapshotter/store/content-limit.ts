import { FormatError } from '../estargz/error.ts';
import { DEFLATE_RATIO_LIMIT } from '../estargz/inflater.ts';

/** Allowance for honest layers that are mostly holes of sparse files. */
const freeBytes = 64 * 1024 * 1024;

/**
 * Bounds a layer's content by gzip's maximum ratio, whatever compression it uses: zstd expands 4 bytes to 128 KiB, and
 * background fetching would fill the disk with that. Throws FormatError 'limit'.
 */
export function assertContentInProportion(dataSizeBytes: number, payloadBytes: number): void {
  const limitBytes = freeBytes + payloadBytes * DEFLATE_RATIO_LIMIT;
  if (dataSizeBytes <= limitBytes) return;
  throw new FormatError(
    'limit',
    `its ${payloadBytes} compressed bytes are to become ${dataSizeBytes}, more than the ${limitBytes} that are taken lazily`,
  );
}
