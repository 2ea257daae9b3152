/**
 * Where a packed TOC lies in a blob: between the TOC and the footer, in what decompressors skip. Readers that do not know
 * it find the TOC by the footer, as ever, and unpacking gives the same tar.
 *
 *     gzip   empty members whose extra field (RFC 1952, 2.3.1.1) has one subfield 'SB' with up to 65,531 bytes of it
 *     zstd   a skippable frame
 *
 * tree/pack.ts has its content. The annotations say how long it is and its digest: see names.ts.
 */
import { encodeFooter, type Footer } from './footer.ts';
import type { Compression } from './inflater.ts';
import { encodeSkippableFrame, SKIPPABLE_HEADER_BYTES, SKIPPABLE_MAGIC } from './zstd-frame.ts';

/** The first bytes of a packed TOC. The last one is its version. */
export const packedTocMagic = Buffer.from('SBPTOC\0\x01', 'latin1');

const memberHead = Buffer.from('1f8b08040000000000ff', 'hex');
/** An empty stored block, checksum and length of nothing. */
const memberTail = Buffer.from('010000ffff0000000000000000', 'hex');
const subfieldId = Buffer.from('SB', 'latin1');
const subfieldHeadBytes = 4;
const maxSubfieldBytes = 0xffff - subfieldHeadBytes;
/** memberHead, XLEN, and the subfield's id and length. */
const memberHeadBytes = memberHead.length + 2 + subfieldHeadBytes;

export function wrapPackedToc(content: Uint8Array, compression: Compression): Buffer {
  if (compression === 'zstd') return encodeSkippableFrame(content);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += maxSubfieldBytes) {
    const piece = content.subarray(at, at + maxSubfieldBytes);
    const lengths = Buffer.alloc(2 + subfieldHeadBytes);
    lengths.writeUInt16LE(subfieldHeadBytes + piece.length, 0);
    subfieldId.copy(lengths, 2);
    lengths.writeUInt16LE(piece.length, 4);
    pieces.push(memberHead, lengths, piece, memberTail);
  }
  return Buffer.concat(pieces);
}

/** Of the footer that the converter writes. */
const zstdFooterBytes = encodeFooter('zstd-chunked', SKIPPABLE_HEADER_BYTES, {
  compressedSizeBytes: 0,
  rawSizeBytes: 0,
}).length;

/** Where a section of `sizeBytes` would lie in the blob; undefined where there is no room for it. */
export function packedTocRange(
  footer: Footer,
  blobSizeBytes: number,
  sizeBytes: number,
): { readonly start: number; readonly end: number } | undefined {
  const end = footer.compression === 'gzip' ? footer.tocEnd : blobSizeBytes - zstdFooterBytes;
  const start = end - sizeBytes;
  return sizeBytes > 0 && start > footer.tocOffset ? { start, end } : undefined;
}

/** Whether bytes that were taken for a section begin like one. */
export function isPackedToc(section: Uint8Array, compression: Compression): boolean {
  const at = compression === 'zstd' ? SKIPPABLE_HEADER_BYTES : memberHeadBytes;
  return packedTocMagic.equals(section.subarray(at, at + packedTocMagic.length));
}

/** The content of a whole section; undefined if it is not one. */
export function unwrapPackedToc(section: Uint8Array, compression: Compression): Buffer | undefined {
  const bytes = Buffer.from(section.buffer, section.byteOffset, section.byteLength);
  return compression === 'zstd' ? unwrapFrame(bytes) : unwrapMembers(bytes);
}

function unwrapFrame(bytes: Buffer): Buffer | undefined {
  if (bytes.length < SKIPPABLE_HEADER_BYTES || bytes.readUInt32LE(0) !== SKIPPABLE_MAGIC) return undefined;
  const content = bytes.subarray(SKIPPABLE_HEADER_BYTES);
  return bytes.readUInt32LE(4) === content.length ? content : undefined;
}

function unwrapMembers(bytes: Buffer): Buffer | undefined {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const start = at + memberHeadBytes;
    if (start > bytes.length || !bytes.subarray(at, at + memberHead.length).equals(memberHead)) return undefined;
    const pieceBytes = bytes.readUInt16LE(start - 2);
    const extraBytes = bytes.readUInt16LE(at + memberHead.length);
    if (extraBytes !== subfieldHeadBytes + pieceBytes || !bytes.subarray(start - 4, start - 2).equals(subfieldId))
      return undefined;
    at = start + pieceBytes + memberTail.length;
    if (!bytes.subarray(start + pieceBytes, at).equals(memberTail)) return undefined;
    pieces.push(bytes.subarray(start, start + pieceBytes));
  }
  return Buffer.concat(pieces);
}
