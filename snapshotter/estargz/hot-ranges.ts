/**
 * The hot ranges of a layer: what of its blob a recorded run of the image read, in the order of use. The converter writes the
 * list into an annotation of the layer's descriptor; containerd passes it on as a snapshot label, and the daemon prefetches
 * those ranges instead of everything before the landmark. Others ignore it. An access profile (access-profile.ts) has the same list
 * for each layer of an image that was converted without one.
 *
 * The value is base64 without padding of: a byte 1 (version), the first 4 bytes of the TOC's sha256, and per range three
 * varints (LEB128), up to the end:
 *
 *     start   zigzag, in units of 512 bytes of the blob, from the end of the range before
 *     length  in the same units, at least 1
 *     rank    from the rank of the range before: the bytes of the image used before this range, in units of 64 KiB
 *
 * A member of the blob is in the range in which it begins. Ranges do not overlap. The rank orders the ranges of all layers.
 */
import { FormatError } from './error.ts';
import { HOT_RANGES_ABOVE_LABEL } from './names.ts';

export const hotUnitBytes = 512;
export const rankUnitBytes = 64 * 1024;

/** containerd refuses labels whose key and value are longer together (labels.Validate). */
const maxLabelBytes = 4096;
export const maxHotRangesLength = maxLabelBytes - `${HOT_RANGES_ABOVE_LABEL}999`.length;
/** Of a list that is read: access profiles (access-profile.ts) are not labels. */
export const maxListLength = 128 * 1024;

export interface HotRange {
  /** In units of 512 bytes of the blob: [start, end). */
  readonly start: number;
  readonly end: number;
  /** Ascending. */
  readonly rank: number;
}

export interface HotLayer {
  /** `sha256:…`: the list of another blob must not be taken for this one's. */
  readonly tocDigest: string;
  /** Where the members of the blob end. */
  readonly payloadEnd: number;
}

const version = 1;
const headBytes = 5;

export function encodeHotRanges(ranges: readonly HotRange[], tocDigest: string): string {
  const bytes = [version, ...digestPrefix(tocDigest)];
  let at = 0;
  let before = 0;
  for (const { start, end, rank } of ranges) {
    const distance = start - at;
    pushVarint(bytes, distance < 0 ? -2 * distance - 1 : 2 * distance);
    pushVarint(bytes, end - start);
    pushVarint(bytes, rank - before);
    at = end;
    before = rank;
  }
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '');
}

/** Throws FormatError 'hot-ranges': the text is untrusted. */
export function parseHotRanges(text: string, { tocDigest, payloadEnd }: HotLayer): HotRange[] {
  if (text.length > maxListLength || !/^[A-Za-z0-9+/]+$/.test(text)) throw malformed('too long or not base64');
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length < headBytes || bytes[0] !== version) throw malformed('of an unknown version');
  if (!bytes.subarray(1, headBytes).equals(digestPrefix(tocDigest))) throw malformed('of another layer');
  const limit = Math.ceil(payloadEnd / hotUnitBytes);
  const reader = { bytes, at: headBytes };
  const ranges: HotRange[] = [];
  let at = 0;
  let rank = 0;
  while (reader.at < bytes.length) {
    const distance = readVarint(reader);
    const start = at + (distance % 2 === 1 ? -(distance + 1) / 2 : distance / 2);
    const end = start + readVarint(reader);
    rank += readVarint(reader);
    if (start < 0 || end <= start || end > limit) throw malformed('with a range outside the blob');
    ranges.push({ start, end, rank });
    at = end;
  }
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  for (const [index, { start }] of sorted.entries())
    if (index > 0 && start < sorted[index - 1]!.end) throw malformed('with ranges that overlap');
  return ranges;
}

function digestPrefix(tocDigest: string): Buffer {
  return Buffer.from(tocDigest.slice('sha256:'.length, 'sha256:'.length + 8), 'hex');
}

function pushVarint(bytes: number[], value: number): void {
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
}

/** Up to 35 bits, so that sums of as many as a list holds, 2^15 ranges, stay exact. */
function readVarint(reader: { readonly bytes: Buffer; at: number }): number {
  let value = 0;
  for (let scale = 1; scale <= 2 ** 28; scale *= 128) {
    const byte = reader.bytes[reader.at++];
    if (byte === undefined) throw malformed('cut short');
    value += (byte & 127) * scale;
    if (byte < 128) return value;
  }
  throw malformed('with a number out of range');
}

function malformed(how: string): FormatError {
  return new FormatError(
    'hot-ranges',
    `the list of hot ranges is ${how}; convert the image or publish its access profile again`,
  );
}
