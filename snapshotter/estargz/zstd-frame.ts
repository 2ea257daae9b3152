/** zstd frames (RFC 8878, section 3.1). Decompressors ignore skippable ones: LE32 magic, LE32 length, content. */

export const ZSTD_FRAME_MAGIC = 0xfd2fb528;
/** The first of the sixteen skippable magics, and the one that zstd:chunked uses. */
export const SKIPPABLE_MAGIC = 0x184d2a50;
export const SKIPPABLE_HEADER_BYTES = 8;

export function isSkippableMagic(magic: number): boolean {
  return magic >>> 4 === SKIPPABLE_MAGIC >>> 4;
}

export function encodeSkippableFrame(content: Uint8Array): Buffer {
  const header = Buffer.alloc(SKIPPABLE_HEADER_BYTES);
  header.writeUInt32LE(SKIPPABLE_MAGIC, 0);
  header.writeUInt32LE(content.length, 4);
  return Buffer.concat([header, content]);
}
