/**
 * Cuts the tar into members: one starts at the beginning of the tar, at the payload of each non-empty regular file and at
 * each further chunk. A file's header belongs to the preceding member. With `minChunkSizeBytes`, small files share a
 * member (innerOffset).
 */
import type { Extent } from '../tar/sparse.ts';
import type { TarEntry } from '../tar/tar.ts';
import { roundUpToBlock } from '../tar/tar-fields.ts';

export type Segment =
  | { readonly kind: 'spooled'; readonly offset: number; readonly sizeBytes: number }
  | { readonly kind: 'zeros'; readonly sizeBytes: number }
  | { readonly kind: 'own'; readonly bytes: Buffer; readonly sizeBytes: number };

export function ownBytes(bytes: Buffer): Segment {
  return { kind: 'own', bytes, sizeBytes: bytes.length };
}

function spooledBytes(offset: number, sizeBytes: number): Segment {
  return { kind: 'spooled', offset, sizeBytes };
}

export interface PlannedFile {
  readonly entry: TarEntry;
  /** The payload, if not in the spooled tar. */
  readonly content?: Buffer;
  readonly header?: Buffer;
  /** Offsets in the file at which a chunk ends, ascending: see cuts.ts. */
  readonly cuts?: readonly number[] | undefined;
}

export interface MemberChunk {
  readonly file: PlannedFile;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  readonly innerOffset: number;
}

export interface Member {
  readonly segments: readonly Segment[];
  readonly sizeBytes: number;
  readonly chunks: readonly MemberChunk[];
}

export interface MemberOptions {
  readonly chunkSizeBytes: number;
  readonly minChunkSizeBytes: number;
}

/** A longer run of headers is split, to bound the size of a member. */
const maxHeaderRunBytes = 1 << 20;

/** Maximum size of one entry's headers: pax, long name and long link, each bounded by tar.ts. */
const maxHeaderBytes = 4 << 20;

/** Upper bound of a planned member. */
export function memberSizeLimit({ chunkSizeBytes, minChunkSizeBytes }: MemberOptions): number {
  return Math.max(chunkSizeBytes, minChunkSizeBytes) + maxHeaderRunBytes + maxHeaderBytes;
}

export function* planMembers(files: Iterable<PlannedFile>, options: MemberOptions): Generator<Member, void, void> {
  let segments: Segment[] = [];
  let chunks: MemberChunk[] = [];
  let sizeBytes = 0;
  let headerRunBytes = 0;
  const append = (segment: Segment): void => {
    if (segment.sizeBytes === 0) return;
    sizeBytes += segment.sizeBytes;
    const last = segments.at(-1);
    const adjoins =
      last?.kind === 'spooled' && segment.kind === 'spooled' && last.offset + last.sizeBytes === segment.offset;
    if (adjoins) segments[segments.length - 1] = spooledBytes(last.offset, last.sizeBytes + segment.sizeBytes);
    else segments.push(segment);
  };
  const cut = (): Member => {
    const member = { segments, sizeBytes, chunks };
    segments = [];
    chunks = [];
    sizeBytes = 0;
    headerRunBytes = 0;
    return member;
  };

  for (const file of files) {
    const { entry } = file;
    const header =
      file.header === undefined ? spooledBytes(entry.headerOffset, entry.headerSizeBytes) : ownBytes(file.header);
    if (headerRunBytes + header.sizeBytes > maxHeaderRunBytes) yield cut();
    append(header);
    headerRunBytes += header.sizeBytes;
    for (const [fileOffset, chunkBytes] of chunksOf(file, options.chunkSizeBytes)) {
      const shares = canShare(file, chunks) && sizeBytes + chunkBytes <= options.minChunkSizeBytes;
      if (!shares && sizeBytes > 0) yield cut();
      chunks.push({ file, fileOffset, sizeBytes: chunkBytes, innerOffset: sizeBytes });
      for (const segment of payloadOf(file, fileOffset, chunkBytes)) append(segment);
      headerRunBytes = 0;
    }
    append(paddingOf(file));
  }
  if (sizeBytes > 0) yield cut();
}

function* chunksOf({ entry, cuts = [] }: PlannedFile, maxBytes: number): Generator<[number, number], void, void> {
  let start = 0;
  for (const cut of [...cuts, entry.sizeBytes]) {
    for (; start < cut; start += maxBytes) yield [start, Math.min(maxBytes, cut - start)];
    start = cut;
  }
}

/**
 * Prefetching ends at a landmark's offset, so nothing shares its member; nor that of a part of a file that is needed while
 * another is not.
 */
function canShare(file: PlannedFile, chunks: readonly MemberChunk[]): boolean {
  const isShareable = ({ content, cuts }: PlannedFile): boolean => content === undefined && cuts === undefined;
  return isShareable(file) && chunks.length > 0 && chunks.every((chunk) => isShareable(chunk.file));
}

function payloadOf({ entry, content }: PlannedFile, fileOffset: number, sizeBytes: number): Segment[] {
  if (content !== undefined) return [ownBytes(content.subarray(fileOffset, fileOffset + sizeBytes))];
  if (entry.extents !== undefined) return sparsePayload(entry.extents, fileOffset, sizeBytes);
  return [spooledBytes(entry.payloadOffset + fileOffset, sizeBytes)];
}

function sparsePayload(extents: readonly Extent[], start: number, sizeBytes: number): Segment[] {
  const end = start + sizeBytes;
  const segments: Segment[] = [];
  let at = start;
  for (
    let index = firstExtentPast(extents, start);
    index < extents.length && extents[index]!.fileOffset < end;
    index++
  ) {
    const { fileOffset, sizeBytes: extentBytes, tarOffset } = extents[index]!;
    const from = Math.max(at, fileOffset);
    const to = Math.min(end, fileOffset + extentBytes);
    if (from > at) segments.push({ kind: 'zeros', sizeBytes: from - at });
    segments.push(spooledBytes(tarOffset + from - fileOffset, to - from));
    at = to;
  }
  if (at < end) segments.push({ kind: 'zeros', sizeBytes: end - at });
  return segments;
}

/** Index of the first extent that ends after `offset`. */
function firstExtentPast(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { fileOffset, sizeBytes } = extents[middle]!;
    if (fileOffset + sizeBytes > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Takes the padding from the spool if possible, so that entries in original order are one read. */
function paddingOf({ entry, content }: PlannedFile): Segment {
  const sizeBytes = roundUpToBlock(entry.sizeBytes) - entry.sizeBytes;
  return content === undefined && entry.extents === undefined
    ? spooledBytes(entry.payloadOffset + entry.sizeBytes, sizeBytes)
    : { kind: 'zeros', sizeBytes };
}
