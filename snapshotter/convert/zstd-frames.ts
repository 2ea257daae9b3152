/**
 * Splits a zstd stream at frame boundaries (RFC 8878, section 3.1). Node's decompressor (24.x) drops the bytes that follow
 * the end of a frame within one write, so each frame must start a new write. Skippable frames, which hold the TOC and footer
 * of zstd:chunked, are omitted.
 */
import { isSkippableMagic, SKIPPABLE_HEADER_BYTES, ZSTD_FRAME_MAGIC } from '../estargz/zstd-frame.ts';
import { malformed } from './error.ts';

const longestHeaderBytes = 18;

type State = { kind: 'start' } | { kind: 'block' } | { kind: 'copy' | 'skip'; left: number; next: 'start' | 'block' };

/** Yields the frames in order; no piece spans two frames. */
export async function* splitZstdFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  let state: State = { kind: 'start' };
  let checksum = false;
  let held: Buffer = Buffer.alloc(0);
  for await (const piece of source) {
    const bytes: Buffer = held.length === 0 ? toBuffer(piece) : Buffer.concat([held, piece]);
    held = Buffer.alloc(0);
    let pieceStart = 0;
    let offset = 0;
    while (offset < bytes.length) {
      if (state.kind === 'copy' || state.kind === 'skip') {
        const taken = Math.min(state.left, bytes.length - offset);
        offset += taken;
        const left: number = state.left - taken;
        if (state.kind === 'skip') pieceStart = offset;
        if (left > 0) {
          state = { kind: state.kind, left, next: state.next };
          continue;
        }
        if (state.next === 'start' && offset > pieceStart) {
          yield bytes.subarray(pieceStart, offset);
          pieceStart = offset;
        }
        state = { kind: state.next };
      } else if (state.kind === 'start') {
        const header = readFrameHeader(bytes, offset);
        if (header === undefined) break;
        checksum = header.checksum;
        state = header.skippable
          ? { kind: 'skip', left: header.sizeBytes, next: 'start' }
          : { kind: 'copy', left: header.sizeBytes, next: 'block' };
      } else {
        if (bytes.length - offset < 3) break;
        const word = bytes.readUIntLE(offset, 3);
        const last = (word & 1) !== 0;
        const type = (word >> 1) & 3;
        const payloadBytes = type === 1 ? 1 : word >> 3; // an RLE block stores one byte
        const left = 3 + payloadBytes + (last && checksum ? 4 : 0);
        state = { kind: 'copy', left, next: last ? 'start' : 'block' };
      }
    }
    if (offset > pieceStart) yield bytes.subarray(pieceStart, offset);
    held = bytes.subarray(offset);
  }
  if (state.kind !== 'start' || held.length > 0) throw malformed('its zstd stream is cut short');
}

interface FrameHeader {
  readonly sizeBytes: number;
  readonly skippable: boolean;
  readonly checksum: boolean;
}

/** Undefined if more bytes are needed. */
function readFrameHeader(bytes: Buffer, offset: number): FrameHeader | undefined {
  const available = bytes.length - offset;
  if (available < SKIPPABLE_HEADER_BYTES) return undefined;
  const magic = bytes.readUInt32LE(offset);
  if (isSkippableMagic(magic)) {
    return { sizeBytes: SKIPPABLE_HEADER_BYTES + bytes.readUInt32LE(offset + 4), skippable: true, checksum: false };
  }
  if (magic !== ZSTD_FRAME_MAGIC) throw malformed('its zstd stream has data between frames that is not a frame');
  const descriptor = bytes[offset + 4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const contentSizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const sizeBytes = 5 + (singleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
  if (sizeBytes > longestHeaderBytes) throw malformed('its zstd stream has an invalid frame header');
  return { sizeBytes, skippable: false, checksum: (descriptor & 4) !== 0 };
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
