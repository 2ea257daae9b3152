/**
 * One layer: blob in (gzip, zstd or plain tar), lazily readable blob out. The tar is spooled, its headers indexed, its
 * entries ordered and cut into members; members are compressed in parallel and written in order, about 32 MiB of them
 * in memory at a time. The same input and options give the same bytes.
 */
import { createHash, type Hash, hash, randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, digester, digestHex, digestOf } from '../registry/digest.ts';
import { BlobFile } from './blob-file.ts';
import { ConvertError } from './error.ts';
import { checkLevel, type FormatTraits, type LayerFormat, traitsOf } from './format.ts';
import { writeInOrder } from './in-order.ts';
import { type Member, ownBytes, type PlannedFile, planMembers } from './members.ts';
import { type LayerOrder, noPrefetchLandmark, orderEntries, prefetchLandmark } from './order.ts';
import { readInto, type Spool, spoolLayer, windowedReader } from './spool.ts';
import { scanTar, type TarEntry } from './tar.ts';
import { encodeFileHeader, endOfArchive } from './tar-header.ts';
import { encodeToc, type TocChunk, type TocRecord } from './toc-writer.ts';

export type { LayerFormat } from './format.ts';

export interface LayerOptions {
  readonly format: LayerFormat;
  /** Largest piece of a file that is compressed as one; default 4 MiB. */
  readonly chunkSizeBytes?: number;
  /** Small files share a member up to this size (innerOffset; readers before v0.13 do not know it). Default 0: off. */
  readonly minChunkSizeBytes?: number;
  readonly level?: number;
  /** Paths to put first, in the order they are read. */
  readonly prioritized?: readonly string[];
  /** For the spooled tar (nameless, gone when the call ends) and the blob. */
  readonly workDir: string;
  readonly signal?: AbortSignal;
  /** Bytes of the tar written so far, of how many. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

export interface ConvertedLayer {
  /** The blob, in workDir, named by the hex of its digest: the caller's to move or remove. */
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly diffId: Digest;
  readonly tocDigest: Digest;
  readonly uncompressedSizeBytes: number;
  readonly mediaType: string;
  /** For the layer's descriptor in the manifest. */
  readonly annotations: Readonly<Record<string, string>>;
}

export const defaultChunkSizeBytes: number = 4 << 20;
const chunkSizeLimits = { min: 4 << 10, max: 64 << 20 };

/** Throws ConvertError; errors of the source and of the disk pass through. Leaves nothing in workDir when it throws. */
export async function convertLayer(
  open: () => AsyncIterable<Uint8Array>,
  options: LayerOptions,
): Promise<ConvertedLayer> {
  const settings = checkOptions(options);
  const spool = await spoolLayer(open(), options.workDir, options.signal);
  const blob = new BlobFile(join(options.workDir, `${randomUUID()}.partial`));
  try {
    return await writeLayer(spool, blob, settings, options);
  } finally {
    blob.discard();
    spool.close();
  }
}

interface Settings {
  readonly traits: FormatTraits;
  readonly level: number;
  readonly chunkSizeBytes: number;
  readonly minChunkSizeBytes: number;
}

/** The options with their defaults; throws ConvertError `invalid-option`. */
export function checkOptions(
  options: Pick<LayerOptions, 'format' | 'level' | 'chunkSizeBytes' | 'minChunkSizeBytes'>,
): Settings {
  const traits = traitsOf(options.format);
  const { level = traits.defaultLevel, chunkSizeBytes = defaultChunkSizeBytes, minChunkSizeBytes = 0 } = options;
  checkLevel(options.format, level);
  const { min, max } = chunkSizeLimits;
  if (!Number.isInteger(chunkSizeBytes) || chunkSizeBytes < min || chunkSizeBytes > max) {
    throw new ConvertError(
      'invalid-option',
      `chunk size ${chunkSizeBytes} is out of range: give ${min} to ${max} bytes`,
    );
  }
  if (!Number.isInteger(minChunkSizeBytes) || minChunkSizeBytes < 0 || minChunkSizeBytes > max) {
    throw new ConvertError(
      'invalid-option',
      `least member size ${minChunkSizeBytes} is out of range: give 0 to ${max} bytes`,
    );
  }
  return { traits, level, chunkSizeBytes, minChunkSizeBytes };
}

async function writeLayer(
  spool: Spool,
  blob: BlobFile,
  { traits, level, ...memberOptions }: Settings,
  { prioritized = [], signal, onProgress, workDir }: LayerOptions,
): Promise<ConvertedLayer> {
  const order = orderEntries(scanTar(windowedReader(spool.fd, spool.sizeBytes), spool.sizeBytes), prioritized);
  const files = planFiles(order, traits.landmark);
  const records = new Map(files.map((file) => [file, newRecord(file.entry)]));
  const diffId = digester();
  let tarSizeBytes = 0;

  const compressor = traits.compressor(level);
  const members = planMembers(files, memberOptions);
  const fileDigests = new FileDigests();
  await writeInOrder(
    withEnd(members, traits.endsTarBeforeToc ? endOfArchive : undefined),
    (member) => {
      const raw = readMember(spool.fd, member);
      diffId.update(raw);
      const chunks = member.chunks.map((chunk) => {
        const tocChunk = fileDigests.add(records.get(chunk.file)!, raw, chunk);
        records.get(chunk.file)!.chunks.push(tocChunk);
        return tocChunk;
      });
      return { sizeBytes: raw.length, result: compressor.compress(raw).then((bytes) => ({ bytes, chunks })) };
    },
    ({ bytes, chunks }, sizeBytes) => {
      for (const chunk of chunks) {
        chunk.offset = blob.sizeBytes;
        chunk.endOffset = blob.sizeBytes + bytes.length;
      }
      blob.append(bytes);
      tarSizeBytes += sizeBytes;
      onProgress?.(tarSizeBytes, spool.sizeBytes);
    },
    signal,
  );

  const toc = encodeToc([...records.values()], traits.toc);
  const trailer = await traits.trailer(toc, blob.sizeBytes);
  diffId.update(trailer.tarBytes);
  tarSizeBytes += trailer.tarBytes.length;
  blob.append(trailer.bytes);
  signal?.throwIfAborted();

  const { sizeBytes } = blob;
  const tocDigest = digestOf(toc);
  const digest = blob.finish();
  const path = join(workDir, digestHex(digest));
  renameSync(blob.path, path);
  return {
    path,
    digest,
    sizeBytes,
    diffId: diffId.digest(),
    tocDigest,
    uncompressedSizeBytes: tarSizeBytes,
    mediaType: traits.mediaType,
    annotations: { ...traits.annotations(tocDigest, tarSizeBytes), ...trailer.annotations },
  };
}

function planFiles({ first, rest }: LayerOrder, landmark: boolean): PlannedFile[] {
  const plain = (entry: TarEntry): PlannedFile => ({ entry });
  const name = first.length > 0 ? prefetchLandmark : noPrefetchLandmark;
  return [...first.map(plain), ...(landmark ? [landmarkFile(name)] : []), ...rest.map(plain)];
}

function landmarkFile(name: string): PlannedFile {
  const content = Buffer.of(0x0f);
  const mode = 0o644;
  const entry: TarEntry = {
    name,
    type: 'reg',
    linkName: '',
    headerOffset: 0,
    headerSizeBytes: 0,
    payloadOffset: 0,
    sizeBytes: content.length,
    mode,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
    mtime: { sec: 0, nsec: 0 },
    devMajor: 0,
    devMinor: 0,
    xattrs: undefined,
  };
  return { entry, content, header: encodeFileHeader(name, content.length, mode) };
}

const emptyDigest = digestOf('');

function newRecord(entry: TarEntry): TocRecord {
  return { entry, chunks: [], digest: entry.type === 'reg' && entry.sizeBytes === 0 ? emptyDigest : '' };
}

/** Digests of chunks and of the files they make up; chunks of one file come in order and before any other file's. */
class FileDigests {
  #whole: Hash | undefined;

  add(record: TocRecord, raw: Buffer, chunk: Member['chunks'][number]): TocChunk {
    const { fileOffset, sizeBytes, innerOffset } = chunk;
    const content = raw.subarray(innerOffset, innerOffset + sizeBytes);
    const digest = `sha256:${hash('sha256', content, 'hex')}`;
    const isFirst = fileOffset === 0;
    const isLast = fileOffset + sizeBytes === record.entry.sizeBytes;
    if (isFirst && isLast) {
      record.digest = digest;
    } else {
      if (isFirst) this.#whole = createHash('sha256');
      this.#whole!.update(content);
      if (isLast) record.digest = `sha256:${this.#whole!.digest('hex')}`;
    }
    return { fileOffset, sizeBytes, innerOffset, digest, offset: 0, endOffset: 0 };
  }
}

function readMember(fd: number, member: Member): Buffer {
  const raw = Buffer.allocUnsafeSlow(member.sizeBytes);
  let at = 0;
  for (const segment of member.segments) {
    if (segment.kind === 'own') segment.bytes.copy(raw, at);
    else readInto(fd, raw, at, segment.offset, segment.sizeBytes);
    at += segment.sizeBytes;
  }
  return raw;
}

function* withEnd(members: Iterable<Member>, end: Buffer | undefined): Generator<Member, void, void> {
  yield* members;
  if (end !== undefined) yield { segments: [ownBytes(end)], sizeBytes: end.length, chunks: [] };
}
