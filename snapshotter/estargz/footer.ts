import { FormatError } from './error.ts';
import { encodeSkippableFrame, SKIPPABLE_HEADER_BYTES, SKIPPABLE_MAGIC } from './zstd-frame.ts';

/**
 * Footers: the last bytes of a blob, which locate its TOC.
 *
 *     gzip kinds: an empty gzip member whose extra field carries the offset, in hex
 *       1f 8b 08 04 00000000 00 ff | XLEN LE16 | extra | 01 0000 ffff | 8 zero bytes
 *       estargz   51 bytes  extra = 'SG' LE16(22) %016x 'STARGZ'
 *       stargz    47 bytes  extra = %016x 'STARGZ'                  (CRFS)
 *       external  46 bytes  extra = 'SG' LE16(17) 'STARGZEXTERNALTOC'
 *     zstd-chunked: a zstd skippable frame (50 2a 4d 18, LE32 length) with
 *       40 bytes  LE64 TOC offset, compressed size, raw size, type 1 | 'GnUlInUx'
 *       64 bytes  those four, three more for the tar-split         | 'GnUlInUx' or 'GNUlInUx' (containers/storage)
 */
export type FooterKind = 'estargz' | 'stargz' | 'external' | 'zstd-chunked';

export interface Footer {
  readonly kind: FooterKind;
  readonly compression: 'gzip' | 'zstd';
  /** Where the last data member ends. */
  readonly payloadEnd: number;
  /** The compressed TOC is [tocOffset, tocEnd) of the blob; empty for `external`. */
  readonly tocOffset: number;
  readonly tocEnd: number;
  /** Only zstd-chunked footers say how long the TOC is when inflated. */
  readonly tocRawSizeBytes?: number;
}

/** Size of the longest footer. */
export const FOOTER_MAX = 72;

const gzipHead = Buffer.from('1f8b08040000000000ff', 'hex');
const gzipTail = Buffer.from('010000ffff0000000000000000', 'hex');
const estargzSubfield = Buffer.from('SG\x16\x00', 'latin1');
const externalExtra = Buffer.from('SG\x11\x00STARGZEXTERNALTOC', 'latin1');
const stargzMagic = Buffer.from('STARGZ', 'latin1');
const zstdMagics = [Buffer.from('GnUlInUx', 'latin1'), Buffer.from('GNUlInUx', 'latin1')];
const manifestTypeCrfs = 1;

/**
 * Parses the footer in `tail`, the last FOOTER_MAX bytes of a blob or the whole blob if it is shorter. Returns undefined
 * for an ordinary layer; throws FormatError('footer' | 'unsupported') for an impossible footer.
 */
export function parseFooter(tail: Uint8Array, blobSizeBytes: number): Footer | undefined {
  if (tail.length > blobSizeBytes) throw new RangeError('parseFooter: the tail is longer than the blob');
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength);
  return (
    parseGzipFooter(bytes, blobSizeBytes, 'estargz', estargzSubfield) ??
    parseGzipFooter(bytes, blobSizeBytes, 'stargz', Buffer.alloc(0)) ??
    parseExternalFooter(bytes, blobSizeBytes) ??
    parseZstdFooter(bytes, blobSizeBytes, 40) ??
    parseZstdFooter(bytes, blobSizeBytes, 64)
  );
}

function parseGzipFooter(
  tail: Buffer,
  blobSizeBytes: number,
  kind: 'estargz' | 'stargz',
  subfield: Buffer,
): Footer | undefined {
  const extra = gzipExtra(tail, subfield.length + 16 + stargzMagic.length);
  if (extra === undefined) return undefined;
  if (!extra.subarray(0, subfield.length).equals(subfield)) return undefined;
  if (!extra.subarray(subfield.length + 16).equals(stargzMagic)) return undefined;
  const hex = extra.toString('latin1', subfield.length, subfield.length + 16);
  if (!/^[0-9a-fA-F]{16}$/.test(hex)) return undefined;
  const tocOffset = Number.parseInt(hex, 16);
  const tocEnd = blobSizeBytes - gzipFooterBytes(extra.length);
  checkTocRange(kind, tocOffset, tocEnd, tocEnd);
  return { kind, compression: 'gzip', payloadEnd: tocOffset, tocOffset, tocEnd };
}

function parseExternalFooter(tail: Buffer, blobSizeBytes: number): Footer | undefined {
  if (gzipExtra(tail, externalExtra.length)?.equals(externalExtra) !== true) return undefined;
  const end = blobSizeBytes - gzipFooterBytes(externalExtra.length);
  return { kind: 'external', compression: 'gzip', payloadEnd: end, tocOffset: end, tocEnd: end };
}

/** The extra field of a gzip footer, if it has this length and all other bytes match. */
function gzipExtra(tail: Buffer, extraBytes: number): Buffer | undefined {
  const footer = lastBytes(tail, gzipFooterBytes(extraBytes));
  if (footer === undefined || !footer.subarray(0, gzipHead.length).equals(gzipHead)) return undefined;
  if (footer.readUInt16LE(gzipHead.length) !== extraBytes) return undefined;
  if (!footer.subarray(-gzipTail.length).equals(gzipTail)) return undefined;
  return footer.subarray(gzipHead.length + 2, -gzipTail.length);
}

function gzipFooterBytes(extraBytes: number): number {
  return gzipHead.length + 2 + extraBytes + gzipTail.length;
}

function parseZstdFooter(tail: Buffer, blobSizeBytes: number, footerSizeBytes: 40 | 64): Footer | undefined {
  const frame = lastBytes(tail, SKIPPABLE_HEADER_BYTES + footerSizeBytes);
  if (frame === undefined || frame.readUInt32LE(0) !== SKIPPABLE_MAGIC) return undefined;
  if (frame.readUInt32LE(4) !== footerSizeBytes) return undefined;
  if (!zstdMagics.some((magic) => magic.equals(frame.subarray(-magic.length)))) return undefined;
  const field = (index: number): number => Number(frame.readBigUInt64LE(SKIPPABLE_HEADER_BYTES + 8 * index));
  if (field(3) !== manifestTypeCrfs) {
    throw new FormatError('unsupported', `zstd:chunked footer has TOC type ${field(3)}; only type 1 is supported`);
  }
  const tocOffset = field(0);
  const tocEnd = tocOffset + field(1);
  checkTocRange('zstd-chunked', tocOffset, tocEnd, blobSizeBytes - frame.length);
  if (!Number.isSafeInteger(field(2)))
    throw new FormatError('footer', `zstd:chunked footer gives an impossible inflated TOC size, ${field(2)} bytes`);
  if (tocOffset < SKIPPABLE_HEADER_BYTES)
    throw new FormatError('footer', "zstd:chunked footer leaves no room for the TOC's frame header");
  return {
    kind: 'zstd-chunked',
    compression: 'zstd',
    payloadEnd: tocOffset - SKIPPABLE_HEADER_BYTES,
    tocOffset,
    tocEnd,
    tocRawSizeBytes: field(2),
  };
}

function checkTocRange(kind: FooterKind, tocOffset: number, tocEnd: number, limit: number): void {
  if (tocOffset < tocEnd && tocEnd <= limit) return;
  throw new FormatError(
    'footer',
    `${kind} footer places the TOC at bytes ${tocOffset} to ${tocEnd}, outside the ${limit} bytes before the footer`,
  );
}

function lastBytes(tail: Buffer, count: number): Buffer | undefined {
  return tail.length < count ? undefined : tail.subarray(tail.length - count);
}

export interface ZstdTocSizes {
  readonly compressedSizeBytes: number;
  readonly rawSizeBytes: number;
}

/** The footer of a blob whose TOC starts at `tocOffset`. For zstd-chunked: the whole skippable frame, 48 bytes. */
export function encodeFooter(kind: 'estargz' | 'stargz', tocOffset: number): Buffer;
export function encodeFooter(kind: 'external'): Buffer;
export function encodeFooter(kind: 'zstd-chunked', tocOffset: number, sizes: ZstdTocSizes): Buffer;
export function encodeFooter(kind: FooterKind, tocOffset = 0, sizes?: ZstdTocSizes): Buffer {
  switch (kind) {
    case 'estargz':
      return encodeGzipFooter(Buffer.concat([estargzSubfield, encodeOffset(tocOffset)]));
    case 'stargz':
      return encodeGzipFooter(encodeOffset(tocOffset));
    case 'external':
      return encodeGzipFooter(externalExtra);
    case 'zstd-chunked':
      return encodeZstdFooter([tocOffset, sizes!.compressedSizeBytes, sizes!.rawSizeBytes, manifestTypeCrfs]);
  }
}

function encodeOffset(tocOffset: number): Buffer {
  return Buffer.from(`${tocOffset.toString(16).padStart(16, '0')}STARGZ`, 'latin1');
}

function encodeGzipFooter(extra: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16LE(extra.length);
  return Buffer.concat([gzipHead, length, extra, gzipTail]);
}

function encodeZstdFooter(fields: readonly number[]): Buffer {
  const footer = Buffer.alloc(40);
  fields.forEach((value, index) => void footer.writeBigUInt64LE(BigInt(value), 8 * index));
  zstdMagics[0]!.copy(footer, 32);
  return encodeSkippableFrame(footer);
}
