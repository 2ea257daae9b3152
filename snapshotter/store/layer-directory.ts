import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Footer } from '../estargz/footer.ts';
import { sealJson, unsealJson } from '../platform/sealed-json.ts';
import { type Digest, digestHex, isDigest } from '../registry/digest.ts';
import { diskError, StoreError } from './error.ts';

/** What `meta.json` holds, sealed: everything needed to mount the layer again without the registry. */
export interface LayerMeta {
  readonly version: 2;
  readonly digest: Digest;
  /** An image with this layer: where to fetch from after a restart. */
  readonly reference: string;
  readonly blobSizeBytes: number;
  readonly footer: Footer;
  /** Of the TOC's raw JSON, as in the label. */
  readonly tocDigest: Digest;
  /** Where the layer was mounted by its packed TOC. */
  readonly packedTocDigest?: Digest;
  readonly dataSizeBytes: number;
}

/** Prefix of directories under construction. One found at start was left by a crash. */
export const temporaryPrefix = '.new-';

const newFile = { flag: 'wx', mode: 0o600 } as const;
const mostMetaBytes = 64 * 1024;
const mostTocBytes = 1024 * 1024 * 1024;
const dataFlags = constants.O_RDWR | constants.O_NOFOLLOW;

/** The directory of a layer's store. */
export function layerDirectory(root: string, digest: Digest): string {
  return join(root, digestHex(digest));
}

/**
 * Writes meta.json, toc (compressed or packed, as it came) and an empty data file beside the final place and renames them there, so
 * it is whole or absent. Synchronous, on the path of a pull: a dozen calls that only touch the page cache would cost several
 * times as much through the thread pool.
 */
export function createLayerDirectory(root: string, meta: LayerMeta, toc: Uint8Array): string {
  const directory = layerDirectory(root, meta.digest);
  let temporary: string | undefined;
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 });
    temporary = mkdtempSync(join(root, temporaryPrefix));
    writeFileSync(join(temporary, 'toc'), toc, newFile);
    writeFileSync(join(temporary, 'meta.json'), sealJson(meta), newFile);
    const dataFd = openSync(join(temporary, 'data'), newFile.flag, newFile.mode);
    try {
      ftruncateSync(dataFd, meta.dataSizeBytes);
    } finally {
      closeSync(dataFd);
    }
    rmSync(directory, { recursive: true, force: true });
    renameSync(temporary, directory);
  } catch (cause) {
    if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true });
    throw diskError(directory, 'cannot create the layer store', cause);
  }
  return directory;
}

/**
 * Reads back what `createLayerDirectory` wrote. Throws StoreError 'damaged' for anything it would not have written:
 * wrong types, versions or sizes.
 */
export function readLayerDirectory(root: string, digest: Digest): { directory: string; meta: LayerMeta; toc: Buffer } {
  const directory = layerDirectory(root, digest);
  try {
    const meta = checkMeta(parseMeta(readBounded(join(directory, 'meta.json'), mostMetaBytes).toString('utf8')));
    if (meta.digest !== digest) throw new Error(`meta.json is of ${meta.digest}`);
    const toc = readBounded(join(directory, 'toc'), mostTocBytes);
    if (meta.packedTocDigest === undefined && toc.length !== meta.footer.tocEnd - meta.footer.tocOffset)
      throw new Error('toc is not as long as the footer says');
    return { directory, meta, toc };
  } catch (cause) {
    throw damagedDirectory(directory, cause);
  }
}

export function damagedDirectory(directory: string, cause: unknown): StoreError {
  return new StoreError('damaged', directory, 'not a usable layer store; it will be created again', cause);
}

/** Opens the data file; checks its length. */
export function openDataFile(directory: string, sizeBytes: number): number {
  let fd: number | undefined;
  try {
    fd = openSync(join(directory, 'data'), dataFlags);
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.nlink !== 1) throw new Error('data is not a regular file with one name');
    if (stat.size !== sizeBytes) throw new Error(`data has ${stat.size} bytes, not ${sizeBytes}`);
    ftruncateSync(fd, sizeBytes);
    return fd;
  } catch (cause) {
    if (fd !== undefined) closeSync(fd);
    throw damagedDirectory(directory, cause);
  }
}

function readBounded(path: string, mostBytes: number): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > mostBytes) throw new Error(`${path} is not a file of at most ${mostBytes} bytes`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Version 1 was the same, without a checksum. */
function parseMeta(text: string): unknown {
  if (text.includes('\t')) return unsealJson(text);
  const value = JSON.parse(text);
  return value?.version === 1 ? { ...value, version: 2 } : value;
}

function checkMeta(value: unknown): LayerMeta {
  const meta = value as Partial<Record<keyof LayerMeta, unknown>>;
  const valid =
    typeof value === 'object' &&
    value !== null &&
    meta.version === 2 &&
    typeof meta.digest === 'string' &&
    isDigest(meta.digest) &&
    typeof meta.reference === 'string' &&
    typeof meta.tocDigest === 'string' &&
    isDigest(meta.tocDigest) &&
    (meta.packedTocDigest === undefined ||
      (typeof meta.packedTocDigest === 'string' && isDigest(meta.packedTocDigest))) &&
    [meta.blobSizeBytes, meta.dataSizeBytes].every(isCount) &&
    isFooter(meta.footer, meta.blobSizeBytes as number);
  if (!valid) throw new Error('meta.json lacks a field or has one of the wrong type');
  return value as LayerMeta;
}

function isFooter(value: unknown, blobSizeBytes: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const footer = value as Footer;
  return (
    (footer.compression === 'gzip' || footer.compression === 'zstd') &&
    [footer.payloadEnd, footer.tocOffset, footer.tocEnd].every(isCount) &&
    (footer.compression === 'gzip' || isCount(footer.tocRawSizeBytes)) &&
    footer.payloadEnd <= footer.tocOffset &&
    footer.tocOffset < footer.tocEnd &&
    footer.tocEnd <= blobSizeBytes
  );
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
