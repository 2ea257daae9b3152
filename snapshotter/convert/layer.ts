/**
 * Converts one layer: blob in (gzip, zstd or plain tar), lazily readable blob out. The tar is spooled; its entries are
 * replayed as unpacking would apply them, ordered and cut into members. Members are compressed in parallel and written in
 * order, with a few batches in memory at a time. The same input and options give the same bytes.
 */
import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TOC_NAME } from '../estargz/names.ts';
import { type Digest, digestHex, digestOf } from '../registry/digest.ts';
import type { ByteRange } from './accesses.ts';
import { maxMembersPerBatch } from './batches.ts';
import { BlobFile } from './blob-file.ts';
import { type CanonicalEntry, canonicalEntries } from './canonical-entries.ts';
import { cutFiles, type FileCuts } from './cuts.ts';
import { CompressorPool } from './compressor-pool.ts';
import { ConvertError, ofLayer } from './error.ts';
import { checkLevel, type FormatTraits, type LayerFormat, traitsOf } from './format.ts';
import type { InheritedAttributes } from './lower-layers.ts';
import { writeMembers } from './member-writer.ts';
import { memberSizeLimit, type PlannedFile } from './members.ts';
import { type LayerOrder, orderEntries } from './order.ts';
import { matchingPaths } from './prefetch.ts';
import { inheritInto, type ReplayedLayer, replayLayer } from './replay.ts';
import { type Spool, spoolLayer } from './spool.ts';
import { windowedReader } from '../tar/file-reader.ts';
import { scanTar, type TarEntry } from '../tar/tar.ts';
import { emptyFile, encodeEntryHeader, encodeFileHeader, endOfArchive } from '../tar/tar-header.ts';
import { packToc } from './packed-toc.ts';
import { encodeToc } from './toc-writer.ts';

export type { LayerFormat } from './format.ts';

export interface LayerOptions {
  readonly format: LayerFormat;
  /** Maximum size of a chunk; default 4 MiB. */
  readonly chunkSizeBytes?: number;
  /** Small files share a member up to this size (innerOffset, unknown to readers before v0.13). Default 0: off. */
  readonly minChunkSizeBytes?: number;
  readonly level?: number;
  /** Paths to place first, in order of access. */
  readonly prioritized?: readonly string[];
  /** Patterns of paths to place behind those. */
  readonly prefetch?: readonly string[];
  /** What was read of those that were perhaps not read whole, by path. */
  readonly readRanges?: ReadonlyMap<string, readonly ByteRange[]>;
  /** Holds the blob and the spooled tar, which is unlinked at once. */
  readonly workDir: string;
  readonly signal?: AbortSignal;
  /** Bytes of the tar written so far, and in total. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

export interface ConvertedLayer {
  /** The blob in workDir, named by its digest in hex. The caller moves or removes it. */
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly diffId: Digest;
  readonly tocDigest: Digest;
  readonly uncompressedSizeBytes: number;
  readonly mediaType: string;
  /** Of its packed TOC; 0 without one. */
  readonly packedTocBytes: number;
  /** For the layer's descriptor in the manifest. */
  readonly annotations: Readonly<Record<string, string>>;
}

const defaultChunkSizeBytes = 4 << 20;
const chunkSizeLimits = { min: 4 << 10, max: 64 << 20 };

/** A layer that has been fetched and read but not yet written. */
export interface SourceLayer {
  /** Directories that inherit attributes from the layers below. */
  readonly inheriting: readonly string[];
  /** Applies the attributes found in the layers below; directories found in none stay 0755 root:root. */
  inherit(attributes: InheritedAttributes): void;
  /** At most once, after `inherit`. */
  write(options: LayerOptions, pool: CompressorPool): Promise<ConvertedLayer>;
  close(): void;
}

/**
 * Converts a layer on its own, as if no layer below had any of its directories. Throws ConvertError; source and disk errors
 * are thrown as they are. Leaves nothing in workDir when it throws.
 */
export async function convertLayer(
  open: () => AsyncIterable<Uint8Array>,
  options: LayerOptions,
): Promise<ConvertedLayer> {
  const pool = openCompressors(options);
  try {
    const source = await readLayer(open(), { ...options, lowest: false });
    try {
      return await source.write(options, pool);
    } finally {
      source.close();
    }
  } finally {
    await pool.close();
  }
}

/** For layers with these options. Threads default to one per processor; their number does not change the bytes. Throws ConvertError `invalid-option`. */
export function openCompressors(
  options: Pick<LayerOptions, 'format' | 'level' | 'chunkSizeBytes' | 'minChunkSizeBytes'>,
  threads?: number,
): CompressorPool {
  const { traits, level, ...memberOptions } = checkOptions(options);
  const slotSizeBytes = memberSizeLimit(memberOptions);
  return new CompressorPool({ codec: traits.codec, level, slotSizeBytes, maxMembersPerBatch, threads });
}

/**
 * Spools the layer and replays its entries. In the `lowest` layer of an image, whiteouts remove the entries before them.
 * Throws ConvertError; source and disk errors are thrown as they are.
 */
export async function readLayer(
  blob: AsyncIterable<Uint8Array>,
  { workDir, signal, lowest }: Pick<LayerOptions, 'workDir' | 'signal'> & { readonly lowest: boolean },
): Promise<SourceLayer> {
  const spool = await spoolLayer(blob, workDir, signal);
  try {
    const replayed = replaySpool(spool, lowest);
    return {
      inheriting: replayed.inheriting,
      inherit: (attributes) => inheritInto(replayed, attributes),
      write: (options, pool) => writeReplayed(spool, replayed, pool, options),
      close: () => spool.close(),
    };
  } catch (error) {
    spool.close();
    throw ofLayer(error);
  }
}

/** Files that an earlier conversion added. */
const ownNames: readonly string[] = [PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK, TOC_NAME];

function replaySpool(spool: Spool, lowest: boolean): ReplayedLayer {
  const replay = replayLayer(lowest);
  const entries = scanTar(windowedReader(spool.fd, spool.sizeBytes), spool.sizeBytes, replay.applyGlobalHeader);
  for (const entry of entries) if (!ownNames.includes(entry.name)) replay.apply(entry);
  return replay.finish();
}

async function writeReplayed(
  spool: Spool,
  replayed: ReplayedLayer,
  pool: CompressorPool,
  options: LayerOptions,
): Promise<ConvertedLayer> {
  const settings = checkOptions(options);
  const blob = new BlobFile(join(options.workDir, `${randomUUID()}.partial`));
  try {
    return await writeLayer(spool, replayed, { blob, pool }, settings, options);
  } catch (error) {
    throw ofLayer(error);
  } finally {
    blob.discard();
  }
}

interface Settings {
  readonly traits: FormatTraits;
  readonly level: number;
  readonly chunkSizeBytes: number;
  readonly minChunkSizeBytes: number;
}

/** Fills in defaults; throws ConvertError `invalid-option`. */
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
      `minimum chunk size ${minChunkSizeBytes} is out of range: give 0 to ${max} bytes`,
    );
  }
  return { traits, level, chunkSizeBytes, minChunkSizeBytes };
}

async function writeLayer(
  spool: Spool,
  replayed: ReplayedLayer,
  { blob, pool }: { readonly blob: BlobFile; readonly pool: CompressorPool },
  { traits, level: _level, ...memberOptions }: Settings,
  { prioritized = [], prefetch = [], readRanges = new Map(), signal, onProgress, workDir }: LayerOptions,
): Promise<ConvertedLayer> {
  const entries = [...canonicalEntries(replayed)];
  const more = matchingPaths(
    entries.map(({ entry }) => entry),
    prefetch,
  );
  const order = orderEntries(entries, [...prioritized, ...more]);
  const tar = await writeMembers({
    files: planFiles(order, traits.landmark, cutFiles([...order.first, ...order.rest], readRanges)),
    end: traits.endsTarBeforeToc ? endOfArchive : undefined,
    memberOptions,
    spoolFd: spool.fd,
    blob,
    pool,
    signal,
    onProgress: (doneBytes) => onProgress?.(Math.min(doneBytes, spool.sizeBytes), spool.sizeBytes),
  });
  const toc = encodeToc(tar.records, traits.toc);
  const tocDigest = digestOf(toc);
  const packed = packToc(toc, tocDigest, traits.codec, blob.sizeBytes);
  const trailer = await traits.trailer(toc, packed.section, blob.sizeBytes);
  tar.diffId.update(trailer.tarBytes);
  const uncompressedSizeBytes = tar.sizeBytes + trailer.tarBytes.length;
  blob.append(trailer.bytes);
  signal?.throwIfAborted();

  const { sizeBytes } = blob;
  const digest = blob.finish();
  const path = join(workDir, digestHex(digest));
  renameSync(blob.path, path);
  return {
    path,
    digest,
    sizeBytes,
    diffId: tar.diffId.digest(),
    tocDigest,
    uncompressedSizeBytes,
    mediaType: traits.mediaType,
    annotations: {
      ...traits.annotations(tocDigest, uncompressedSizeBytes),
      ...trailer.annotations,
      ...packed.annotations,
    },
    packedTocBytes: packed.section.length,
  };
}

function planFiles({ first, rest }: LayerOrder, landmark: boolean, cuts: FileCuts): PlannedFile[] {
  const plain = ({ entry, rewritten }: CanonicalEntry): PlannedFile => {
    const file = { entry, cuts: cuts.get(entry) };
    return rewritten ? { ...file, header: encodeEntryHeader(entry) } : file;
  };
  const name = first.length > 0 ? PREFETCH_LANDMARK : NO_PREFETCH_LANDMARK;
  return [...first.map(plain), ...(landmark ? [landmarkFile(name)] : []), ...rest.map(plain)];
}

function landmarkFile(name: string): PlannedFile {
  const content = Buffer.of(0x0f);
  const entry: TarEntry = { ...emptyFile, name, sizeBytes: content.length };
  return { entry, content, header: encodeFileHeader(name, content.length) };
}
