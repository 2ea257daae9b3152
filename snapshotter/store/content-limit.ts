import { FormatError } from '../estargz/error.ts';
import { DEFLATE_RATIO_LIMIT } from '../estargz/inflater.ts';

/** A layer of little but holes in sparse files is an honest one, up to here. */
const freeBytes = 64 * 1024 * 1024;

/**
 * A layer's content may take as much of the disk as gzip could make of its blob, whatever it was compressed with: zstd makes
 * 128 KiB of 4 bytes, and background fetching would fill the disk with it. Throws FormatError 'limit'.
 */
export function assertContentInProportion(dataSizeBytes: number, payloadBytes: number): void {
  const limitBytes = freeBytes + payloadBytes * DEFLATE_RATIO_LIMIT;
  if (dataSizeBytes <= limitBytes) return;
  throw new FormatError(
    'limit',
    `its ${payloadBytes} compressed bytes are to become ${dataSizeBytes}, more than the ${limitBytes} that are taken lazily`,
  );
}
