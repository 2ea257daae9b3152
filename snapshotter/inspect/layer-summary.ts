/** One layer as its descriptor, its footer and its TOC describe it, without reading its content. */
import { FOOTER_MAX, type Footer, parseFooter } from '../estargz/footer.ts';
import { type HotRange, hotUnitBytes, parseHotRanges } from '../estargz/hot-ranges.ts';
import { HOT_RANGES_LABEL, TOC_DIGEST_LABEL } from '../estargz/names.ts';
import { isSkippableMagic, ZSTD_FRAME_MAGIC } from '../estargz/zstd-frame.ts';
import type { Descriptor } from '../registry/manifest.ts';
import { inspectPackedToc, type PackedTocSummary } from './packed-toc.ts';
import { type Landmark, readTocContent, type TocContent } from './toc-content.ts';

/** Bytes [start, end) of the layer's blob. */
export type ReadBlob = (start: number, end: number) => Promise<Buffer>;

export type LayerKind = 'estargz' | 'stargz' | 'zstd-chunked' | 'external-toc' | 'gzip' | 'zstd' | 'tar';

export interface LayerSummary {
  readonly digest: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly format: LayerKind;
  /** Null for a layer that cannot be read lazily. */
  readonly toc: TocSummary | null;
  readonly annotations: Readonly<Record<string, string>>;
  /** What is wrong with it. */
  readonly problems: readonly string[];
}

export interface TocSummary {
  readonly digest: string;
  /** What the manifest says that it is; null: the layer cannot be verified when it is mounted. */
  readonly annotatedDigest: string | null;
  readonly compressedBytes: number;
  /** The packed TOC. */
  readonly packed: PackedTocSummary | null;
  readonly rawSizeBytes: number;
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  readonly specials: number;
  /** Content of all files. */
  readonly fileBytes: number;
  readonly chunks: { readonly count: number; readonly medianBytes: number | null; readonly maxBytes: number | null };
  readonly members: number;
  readonly landmark: Landmark | null;
  readonly hotRanges: { readonly count: number; readonly sizeBytes: number } | null;
}

export interface InspectedLayer {
  readonly summary: LayerSummary;
  readonly footer: Footer | undefined;
  readonly content: TocContent | undefined;
}

/** Throws FormatError if the footer or the TOC cannot be read. */
export async function inspectLayer(descriptor: Descriptor, read: ReadBlob): Promise<InspectedLayer> {
  const { digest, mediaType, size: sizeBytes, annotations = {} } = descriptor;
  const common = { digest, mediaType, sizeBytes, annotations };
  const tail = await read(Math.max(0, sizeBytes - FOOTER_MAX), sizeBytes);
  const footer = parseFooter(tail, sizeBytes);
  if (footer === undefined || footer.kind === 'external') {
    const format = footer === undefined ? compressionOf(await read(0, Math.min(4, sizeBytes))) : 'external-toc';
    return { summary: { ...common, format, toc: null, problems: [] }, footer, content: undefined };
  }
  const tocBytes = await read(footer.tocOffset, footer.tocEnd);
  const content = readTocContent(tocBytes, footer);
  const problems: string[] = [];
  const layer = { annotations, footer, blobSizeBytes: sizeBytes, toc: tocBytes, tocDigest: content.digest };
  const packed = await inspectPackedToc(layer, read, problems);
  const toc = summarizeToc(content, footer, packed, annotations, problems);
  return { summary: { ...common, format: footer.kind, toc, problems }, footer, content };
}

function compressionOf(head: Buffer): LayerKind {
  if (head.length >= 2 && head.readUInt16BE(0) === 0x1f8b) return 'gzip';
  const magic = head.length === 4 ? head.readUInt32LE(0) : 0;
  return magic === ZSTD_FRAME_MAGIC || isSkippableMagic(magic) ? 'zstd' : 'tar';
}

function summarizeToc(
  content: TocContent,
  footer: Footer,
  packed: PackedTocSummary | null,
  annotations: Readonly<Record<string, string>>,
  problems: string[],
): TocSummary {
  const { digest, rawSizeBytes, directories, links, specials, files, landmark = null } = content;
  const annotatedDigest = annotations[TOC_DIGEST_LABEL] ?? null;
  if (annotatedDigest !== null && annotatedDigest !== digest)
    problems.push(`the TOC is ${digest}, not ${annotatedDigest} as the manifest says`);
  const chunks = files.flatMap((file) => file.chunks);
  const sizes = chunks.map(({ sizeBytes }) => sizeBytes).sort((a, b) => a - b);
  return {
    digest,
    annotatedDigest,
    compressedBytes: footer.tocEnd - footer.tocOffset - (footer.compression === 'gzip' ? (packed?.sizeBytes ?? 0) : 0),
    packed,
    rawSizeBytes,
    files: files.length,
    directories,
    links,
    specials,
    fileBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    chunks: { count: sizes.length, medianBytes: sizes[sizes.length >> 1] ?? null, maxBytes: sizes.at(-1) ?? null },
    members: membersOf(content, footer.payloadEnd).length,
    landmark,
    hotRanges: summarizeHotRanges(
      annotations[HOT_RANGES_LABEL],
      digest,
      footer.payloadEnd,
      problems,
      membersOf(content, footer.payloadEnd),
    ),
  };
}

export interface MemberExtent {
  readonly offset: number;
  readonly endOffset: number;
}

/** In the order of the blob. Each ends where the next begins. */
export function membersOf({ files }: TocContent, payloadEnd: number): MemberExtent[] {
  const chunks = files.flatMap((file) => file.chunks);
  // 0: zeros, which the blob does not hold.
  const offsets = [...new Set(chunks.map(({ offset }) => offset).filter((offset) => offset > 0))].sort((a, b) => a - b);
  return offsets.map((offset, index) => ({
    offset,
    endOffset: Math.min(offsets[index + 1] ?? payloadEnd, payloadEnd),
  }));
}

function summarizeHotRanges(
  text: string | undefined,
  tocDigest: string,
  payloadEnd: number,
  problems: string[],
  members: readonly MemberExtent[],
): TocSummary['hotRanges'] {
  if (text === undefined) return null;
  try {
    const ranges = parseHotRanges(text, { tocDigest, payloadEnd });
    const sizeBytes = sizeOfHot(ranges, members);
    return { count: ranges.length, sizeBytes };
  } catch (error) {
    problems.push((error as Error).message);
    return null;
  }
}

/** A member is in the range in which it begins. Ranges do not overlap, so both lists are walked once. */
function sizeOfHot(ranges: readonly HotRange[], members: readonly MemberExtent[]): number {
  const sorted = ranges.toSorted((a, b) => a.start - b.start);
  let index = 0;
  let sizeBytes = 0;
  for (const { offset, endOffset } of members) {
    const unit = Math.floor(offset / hotUnitBytes);
    while (index < sorted.length && sorted[index]!.end <= unit) index++;
    if (index < sorted.length && sorted[index]!.start <= unit) sizeBytes += endOffset - offset;
  }
  return sizeBytes;
}
