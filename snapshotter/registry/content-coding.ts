import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';

const decoders: Readonly<Record<string, (bytes: Buffer, options: { readonly maxOutputLength: number }) => Buffer>> = {
  gzip: gunzipSync,
  'x-gzip': gunzipSync,
  deflate: inflateSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
};

/**
 * A body without its Content-Encoding, which some servers apply though `identity` was asked for; undefined if it has
 * more than `limitBytes`. Some only claim it: what does not decode is returned as it is, for a digest or a parser to judge.
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
