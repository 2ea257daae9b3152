/** The formats a layer can be written in, and what differs between them. */

import { promisify } from 'node:util';
import { gzip, constants as zlibConstants, zstdCompress } from 'node:zlib';
import { encodeFooter } from '../estargz/footer.ts';
import { TOC_DIGEST_LABEL, TOC_NAME } from '../estargz/names.ts';
import { encodeSkippableFrame, SKIPPABLE_HEADER_BYTES } from '../estargz/zstd-frame.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { mediaTypes } from '../registry/manifest.ts';
import type { MemberCodec } from './compress.ts';
import { ConvertError } from './error.ts';
import { encodeFile, endOfArchive } from '../tar/tar-header.ts';
import type { TocFields } from './toc-writer.ts';

export const layerFormats = ['stargz', 'estargz', 'zstd-chunked'] as const;
export type LayerFormat = (typeof layerFormats)[number];

/** Follows the last file: `tarBytes` are part of the uncompressed tar (and so of the DiffID), `bytes` of the blob. */
export interface TocTrailer {
  readonly tarBytes: Buffer;
  readonly bytes: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface FormatTraits {
  readonly mediaType: string;
  readonly landmark: boolean;
  /** Whether the end-of-archive blocks precede the TOC, which is then not part of the tar. */
  readonly endsTarBeforeToc: boolean;
  readonly toc: TocFields;
  readonly defaultLevel: number;
  readonly maxLevel: number;
  readonly codec: MemberCodec;
  /** `packedToc`: its section (estargz/packed-toc.ts), empty without one. */
  trailer(toc: Buffer, packedToc: Buffer, blobSizeBytes: number): Promise<TocTrailer>;
  annotations(tocDigest: Digest, uncompressedSizeBytes: number): Record<string, string>;
}

/** Higher than for content, because every mount reads the whole TOC first. */
const tocLevel = { gzip: 9, zstd: 12 };

export function traitsOf(format: LayerFormat): FormatTraits {
  switch (format) {
    case 'stargz':
      // CRFS has no landmark, no chunk digests, and no annotation to verify the TOC by.
      return { ...gzipTraits('stargz'), landmark: false, annotations: () => ({}) };
    case 'estargz':
      return gzipTraits('estargz');
    case 'zstd-chunked':
      return zstdTraits;
  }
}

/** Throws ConvertError `invalid-option`. */
export function checkLevel(format: LayerFormat, level: number): void {
  const { maxLevel } = traitsOf(format);
  if (Number.isInteger(level) && level >= 1 && level <= maxLevel) return;
  throw new ConvertError(
    'invalid-option',
    `compression level ${level} is out of range for ${format}: give 1 to ${maxLevel}`,
  );
}

function gzipTraits(kind: 'stargz' | 'estargz'): FormatTraits {
  return {
    mediaType: mediaTypes.ociLayerGzip,
    landmark: true,
    endsTarBeforeToc: false,
    toc: { chunkDigests: kind === 'estargz', endOffsets: false },
    defaultLevel: 6,
    maxLevel: 9,
    codec: 'gzip',
    trailer: async (toc, packedToc, blobSizeBytes) => {
      const tarBytes = Buffer.concat([encodeFile(TOC_NAME, toc), endOfArchive]);
      const member = await promisify(gzip)(tarBytes, { level: tocLevel.gzip });
      const bytes = Buffer.concat([member, packedToc, encodeFooter(kind, blobSizeBytes)]);
      return { tarBytes, bytes, annotations: {} };
    },
    annotations: lazyAnnotations,
  };
}

const zstdTraits: FormatTraits = {
  mediaType: mediaTypes.ociLayerZstd,
  landmark: true,
  endsTarBeforeToc: true,
  toc: { chunkDigests: true, endOffsets: true },
  defaultLevel: 6,
  maxLevel: 19,
  codec: 'zstd',
  trailer: async (toc, packedToc, blobSizeBytes) => {
    const compressed = await promisify(zstdCompress)(toc, {
      params: { [zlibConstants.ZSTD_c_compressionLevel]: tocLevel.zstd },
    });
    const tocOffset = blobSizeBytes + SKIPPABLE_HEADER_BYTES;
    const sizes = { compressedSizeBytes: compressed.length, rawSizeBytes: toc.length };
    return {
      tarBytes: Buffer.alloc(0),
      bytes: Buffer.concat([
        encodeSkippableFrame(compressed),
        packedToc,
        encodeFooter('zstd-chunked', tocOffset, sizes),
      ]),
      annotations: {
        'io.containers.zstd-chunked.manifest-checksum': digestOf(compressed),
        'io.containers.zstd-chunked.manifest-position': `${tocOffset}:${compressed.length}:${toc.length}:1`,
      },
    };
  },
  annotations: lazyAnnotations,
};

function lazyAnnotations(tocDigest: Digest, uncompressedSizeBytes: number): Record<string, string> {
  return {
    [TOC_DIGEST_LABEL]: tocDigest,
    'io.containers.estargz.uncompressed-size': String(uncompressedSizeBytes),
  };
}
