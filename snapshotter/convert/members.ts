/**
 * Where the tar is cut into members: at the top, at each non-empty regular file's payload and at each further chunk;
 * headers ride at the tail of the member before. With `minChunkSizeBytes` small files share a member (innerOffset).
 */
import type { TarEntry } from './tar.ts';
import { roundUpToBlock } from './tar-fields.ts';

export type Segment =
  | { readonly kind: 'spooled'; readonly offset: number; readonly sizeBytes: number }
  | { readonly kind: 'own'; readonly bytes: Buffer; readonly sizeBytes: number };

export function ownBytes(bytes: Buffer): Segment {
  return { kind: 'own', bytes, sizeBytes: bytes.length };
}

function spooledBytes(offset: number, sizeBytes: number): Segment {
  return { kind: 'spooled', offset, sizeBytes };
}

export interface PlannedFile {
  readonly entry: TarEntry;
  /** The payload, where it is not in the spooled tar. */
  readonly content?: Buffer;
  readonly header?: Buffer;
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

/** A run of headers longer than this gets a member of its own, so that no member is unbounded. */
const maxHeaderRunBytes = 1 << 20;

/** One entry's headers at most: pax, long name and long link as tar.ts bounds them, and their blocks. */
const maxHeaderBytes = 4 << 20;

/** No planned member is larger. */
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
    for (let fileOffset = 0; fileOffset < entry.sizeBytes; fileOffset += options.chunkSizeBytes) {
      const chunkBytes = Math.min(options.chunkSizeBytes, entry.sizeBytes - fileOffset);
      const shares = canShare(file, chunks) && sizeBytes + chunkBytes <= options.minChunkSizeBytes;
      if (!shares && sizeBytes > 0) yield cut();
      chunks.push({ file, fileOffset, sizeBytes: chunkBytes, innerOffset: sizeBytes });
      append(payloadOf(file, fileOffset, chunkBytes));
      headerRunBytes = 0;
    }
    append(paddingOf(file));
  }
  if (sizeBytes > 0) yield cut();
}

/** A landmark's offset is where prefetching ends: nothing shares its member. */
function canShare(file: PlannedFile, chunks: readonly MemberChunk[]): boolean {
  return file.content === undefined && chunks.length > 0 && chunks[0]!.file.content === undefined;
}

function payloadOf({ entry, content }: PlannedFile, fileOffset: number, sizeBytes: number): Segment {
  return content === undefined
    ? spooledBytes(entry.payloadOffset + fileOffset, sizeBytes)
    : ownBytes(content.subarray(fileOffset, fileOffset + sizeBytes));
}

/** The spooled padding where there is some: in original order header, payload and padding are then one read. */
function paddingOf({ entry, content }: PlannedFile): Segment {
  const paddingBytes = roundUpToBlock(entry.sizeBytes) - entry.sizeBytes;
  return content === undefined
    ? spooledBytes(entry.payloadOffset + entry.sizeBytes, paddingBytes)
    : ownBytes(Buffer.alloc(paddingBytes));
}
