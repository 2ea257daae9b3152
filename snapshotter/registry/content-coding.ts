import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';

const decoders: Readonly<Record<string, (bytes: Buffer, options: { readonly maxOutputLength: number }) => Buffer>> = {
  gzip: gunzipSync,
  'x-gzip': gunzipSync,
  deflate: inflateSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
};

/**
 * Decodes a body whose server applied a Content-Encoding although `identity` was requested; undefined if the result is
 * longer than `limitBytes`. A body that does not decode is returned unchanged, since some servers only send the header.
 */
export function decodeContent(bytes: Buffer, coding: string | undefined, limitBytes: number): Buffer | undefined {
  const decode = decoders[coding?.trim().toLowerCase() ?? ''];
  if (decode === undefined) return bytes;
  try {
    return decode(bytes, { maxOutputLength: limitBytes });
  } catch (error) {
    return (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE' ? undefined : bytes;
  }
}
