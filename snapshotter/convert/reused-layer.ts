/** A layer that is in the wanted format already: its blob is copied, and its TOC is the one that the manifest names. */
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { FOOTER_MAX, parseFooter } from '../estargz/footer.ts';
import {
  HOT_RANGES_ABOVE_LABEL,
  HOT_RANGES_LABEL,
  PACKED_TOC_LABEL,
  PACKED_TOC_SIZES_LABEL,
  TOC_DIGEST_LABEL,
  TOC_SIZES_LABEL,
} from '../estargz/names.ts';
import { parseSizes } from '../estargz/size-list.ts';
import type { ImageSource } from '../images/image.ts';
import { type Digest, digestHex } from '../registry/digest.ts';
import type { Descriptor } from '../registry/manifest.ts';
import { digestBlobToc } from './blob-tree.ts';
import { malformed } from './error.ts';
import { type LayerFormat, traitsOf } from './format.ts';
import type { ConvertedLayer } from './layer.ts';

const uncompressedSizeAnnotation = 'io.containers.estargz.uncompressed-size';

/** By its footer; a layer without the annotation to verify it by is not taken, unless its format has none. */
export async function isInFormat(
  source: ImageSource,
  descriptor: Descriptor,
  format: LayerFormat,
  signal: AbortSignal,
): Promise<boolean> {
  const isAnnotated = descriptor.annotations?.[TOC_DIGEST_LABEL] !== undefined;
  if (!isAnnotated && format !== 'stargz') return false;
  const { size } = descriptor;
  const tail = await source.readRange(descriptor, Math.max(0, size - FOOTER_MAX), size, signal);
  return parseFooter(tail, size)?.kind === format;
}

export interface ReuseOptions {
  readonly format: LayerFormat;
  /** As the source's config says. */
  readonly diffId: Digest;
  /** Verifies its digest at its end. */
  readonly blob: AsyncIterable<Buffer>;
  readonly workDir: string;
  readonly signal: AbortSignal;
}

/** Throws ConvertError `malformed-layer` if the TOC is not the annotated one. */
export async function copyLayer(
  { digest, size, annotations = {} }: Descriptor,
  { format, diffId, blob, workDir, signal }: ReuseOptions,
): Promise<ConvertedLayer> {
  const path = join(workDir, digestHex(digest));
  await pipeline(blob, createWriteStream(path), { signal });
  const tocDigest = digestBlobToc(path);
  const annotated = annotations[TOC_DIGEST_LABEL];
  if (annotated !== undefined && annotated !== tocDigest)
    throw malformed(`its TOC is ${tocDigest}, not ${annotated} as the manifest says`);
  const own = Object.entries(annotations).filter(([name]) => isTocAnnotation(name) && !isOfImage(name));
  return {
    path,
    digest,
    sizeBytes: size,
    diffId,
    tocDigest,
    uncompressedSizeBytes: Number(annotations[uncompressedSizeAnnotation] ?? 0),
    mediaType: traitsOf(format).mediaType,
    packedTocBytes: packedTocBytesOf(annotations),
    annotations: Object.fromEntries(own),
  };
}

/** As its first conversion has said. */
function packedTocBytesOf(annotations: Readonly<Record<string, string>>): number {
  if (annotations[PACKED_TOC_LABEL] === undefined) return 0;
  return parseSizes(annotations[PACKED_TOC_SIZES_LABEL] ?? '')?.[0] ?? 0;
}

const ofImage: readonly string[] = [HOT_RANGES_LABEL, TOC_SIZES_LABEL, PACKED_TOC_SIZES_LABEL];

/** Whether it depends on the other layers: those are written anew. */
function isOfImage(name: string): boolean {
  return ofImage.includes(name) || name.startsWith(HOT_RANGES_ABOVE_LABEL);
}

/** Whether an annotation describes a conversion, and so not the layer that is made of it. */
export function isTocAnnotation(name: string): boolean {
  return /^(containerd\.io\/snapshot\/stargz\/|io\.containers\.(estargz|zstd-chunked)\.)/.test(name);
}
