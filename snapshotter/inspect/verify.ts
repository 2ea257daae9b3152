/** Checks every digest of a layer: of its blob, its tar, its TOC, its files and their chunks. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { ConvertError } from '../convert/error.ts';
import { inflateLayer } from '../convert/spool.ts';
import type { Footer } from '../estargz/footer.ts';
import { inflateMember, MEMBER_SIZE_LIMIT_BYTES } from '../estargz/member.ts';
import { type Digest, digestOf, digester } from '../registry/digest.ts';
import { type InspectedLayer, membersOf } from './layer-summary.ts';
import type { ChunkRecord, FileRecord, TocContent } from './toc-content.ts';

export interface Verification {
  readonly chunks: number;
  /** Chunks that the format gives no digest (stargz); their members' CRCs were checked. */
  readonly chunksWithoutDigest: number;
  readonly problems: readonly string[];
}

export interface VerifyOptions {
  /** The whole blob. */
  readonly pieces: AsyncIterable<Buffer>;
  /** A file that does not exist yet; the caller removes it. */
  readonly path: string;
  readonly diffId: Digest | undefined;
  readonly signal: AbortSignal;
}

/** A wrong digest is a problem in the result; a blob that cannot be fetched throws. */
export async function verifyLayer(
  { footer, content }: InspectedLayer,
  { pieces, path, diffId, signal }: VerifyOptions,
): Promise<Verification> {
  await pipeline(pieces, createWriteStream(path, { flags: 'wx' }), { signal });
  const problems: string[] = [];
  if (diffId !== undefined) {
    const found = await diffIdOf(path, signal);
    if (found !== diffId) problems.push(`its tar is ${found}, not ${diffId} as the config says`);
  }
  if (content === undefined || footer === undefined) return { chunks: 0, chunksWithoutDigest: 0, problems };
  const file = await open(path);
  try {
    return await verifyFiles({ file, footer, content, problems }, signal);
  } finally {
    await file.close();
  }
}

async function diffIdOf(path: string, signal: AbortSignal): Promise<string> {
  const state = digester();
  const update = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const piece of pieces) state.update(piece);
  };
  try {
    await inflateLayer(createReadStream(path, { highWaterMark: 1 << 20 }), update, signal);
    return state.digest();
  } catch (error) {
    if (error instanceof ConvertError) return `damaged (${error.message})`;
    throw error;
  }
}

interface LayerFile {
  readonly file: FileHandle;
  readonly footer: Footer;
  readonly content: TocContent;
  readonly problems: string[];
}

async function verifyFiles(layer: LayerFile, signal: AbortSignal): Promise<Verification> {
  const { content, problems } = layer;
  const members = memberReader(layer);
  let chunks = 0;
  let chunksWithoutDigest = 0;
  for (const file of content.files) {
    const whole = createHash('sha256');
    try {
      for (const chunk of file.chunks) {
        signal.throwIfAborted();
        chunks++;
        if (chunk.digest === '') chunksWithoutDigest++;
        await verifyChunk(file, chunk, members, whole);
      }
    } catch (error) {
      signal.throwIfAborted();
      problems.push(`${JSON.stringify(file.name)}: ${(error as Error).message}`);
      continue;
    }
    const digest = `sha256:${whole.digest('hex')}`;
    if (file.digest !== '' && file.digest !== digest)
      problems.push(`${JSON.stringify(file.name)} is ${digest}, not ${file.digest} as the TOC says`);
  }
  return { chunks, chunksWithoutDigest, problems };
}

async function verifyChunk(file: FileRecord, chunk: ChunkRecord, members: MemberReader, whole: Hash): Promise<void> {
  const { offset, innerOffset, sizeBytes, fileOffset, digest } = chunk;
  const bytes = offset === 0 ? Buffer.alloc(sizeBytes) : await members(offset, innerOffset, sizeBytes);
  whole.update(bytes);
  if (digest === '' || digestOf(bytes) === digest) return;
  throw new Error(
    `bytes ${fileOffset} to ${fileOffset + sizeBytes} of ${file.sizeBytes} do not have the digest ${digest}`,
  );
}

/** Inflated bytes [innerOffset, innerOffset + sizeBytes) of the member at `offset`. */
type MemberReader = (offset: number, innerOffset: number, sizeBytes: number) => Promise<Buffer>;

/** Keeps the last member inflated: small files that share one follow each other. */
function memberReader({ file, footer, content }: LayerFile): MemberReader {
  const neededBytes = new Map<number, number>();
  for (const { offset, innerOffset, sizeBytes } of content.files.flatMap(({ chunks }) => chunks))
    neededBytes.set(offset, Math.max(neededBytes.get(offset) ?? 0, innerOffset + sizeBytes));
  const ends = new Map(membersOf(content, footer.payloadEnd).map(({ offset, endOffset }) => [offset, endOffset]));
  let last: { readonly offset: number; readonly bytes: Buffer } | undefined;
  return async (offset, innerOffset, sizeBytes) => {
    if (last?.offset !== offset) {
      const length = ends.get(offset)! - offset;
      if (length <= 0 || length > MEMBER_SIZE_LIMIT_BYTES) throw new Error(`no member of the blob begins at ${offset}`);
      const { buffer } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, offset);
      last = { offset, bytes: inflateMember(buffer, footer.compression, neededBytes.get(offset)!, { toEnd: true }) };
    }
    return last.bytes.subarray(innerOffset, innerOffset + sizeBytes);
  };
}
