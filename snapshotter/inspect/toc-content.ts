/** What a TOC says of its layer, file by file. */
import { FormatError } from '../estargz/error.ts';
import type { Footer } from '../estargz/footer.ts';
import { NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK } from '../estargz/names.ts';
import { scanTocInSteps, sliceText, type TocEntry, TocReader } from '../estargz/toc.ts';
import type { Digest } from '../registry/digest.ts';

export interface ChunkRecord {
  /** Of its member in the blob; 0: zeros, which the blob does not hold. */
  readonly offset: number;
  readonly innerOffset: number;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  /** As written, perhaps empty. */
  readonly digest: string;
}

export interface FileRecord {
  readonly name: string;
  readonly sizeBytes: number;
  /** Of the whole file, as written, perhaps empty. */
  readonly digest: string;
  readonly chunks: readonly ChunkRecord[];
}

export interface TocContent {
  readonly digest: Digest;
  readonly rawSizeBytes: number;
  readonly directories: number;
  readonly links: number;
  /** Device nodes and FIFOs. */
  readonly specials: number;
  /** Regular files, landmarks included. */
  readonly files: readonly FileRecord[];
  readonly landmark: Landmark | undefined;
}

/** `endOffset`: what precedes it is to be prefetched. */
export type Landmark = { readonly kind: 'prefetch'; readonly endOffset: number } | { readonly kind: 'none' };

/** `bytes`: [footer.tocOffset, footer.tocEnd) of the blob. Throws FormatError. */
export function readTocContent(bytes: Buffer, footer: Footer): TocContent {
  const reader = new TocReader(bytes, footer);
  const counts = { directories: 0, links: 0, specials: 0 };
  const files: OpenFile[] = [];
  const visit = (entry: TocEntry): void => {
    if (entry.type === 'reg') files.push(openFile(entry));
    else if (entry.type === 'chunk') addChunk(files.at(-1), entry);
    else if (entry.type === 'dir') counts.directories++;
    else if (entry.type === 'symlink' || entry.type === 'hardlink') counts.links++;
    else counts.specials++;
  };
  for (const _ of scanTocInSteps(reader, visit));
  for (const { name, sizeBytes, chunks } of files) checkCover(name, sizeBytes, chunks);
  return { digest: reader.digest(), rawSizeBytes: reader.sizeBytes, ...counts, files, landmark: landmarkOf(files) };
}

interface OpenFile extends FileRecord {
  readonly chunks: ChunkRecord[];
}

function openFile(entry: TocEntry): OpenFile {
  const name = sliceText(entry.name).replace(/^(\.?\/)+/, '');
  const file = { name, sizeBytes: entry.size, digest: sliceText(entry.digest), chunks: [] };
  if (entry.size > 0) addChunk(file, entry);
  return file;
}

function addChunk(file: OpenFile | undefined, entry: TocEntry): void {
  if (file === undefined) throw new FormatError('entry', 'a chunk before any file', { entry: sliceText(entry.name) });
  const { offset, innerOffset, chunkOffset: fileOffset, hasZerosChunk } = entry;
  // 0: to the end of the file.
  const sizeBytes = entry.chunkSize || file.sizeBytes - fileOffset;
  // Without a chunk digest, a file of one chunk has its digest.
  const own = sliceText(entry.chunkDigest);
  const digest = own === '' && sizeBytes === file.sizeBytes ? file.digest : own;
  file.chunks.push({ offset: hasZerosChunk ? 0 : offset, innerOffset, fileOffset, sizeBytes, digest });
}

function checkCover(name: string, sizeBytes: number, chunks: readonly ChunkRecord[]): void {
  let at = 0;
  for (const chunk of chunks) {
    if (chunk.fileOffset !== at || chunk.sizeBytes <= 0) break;
    at += chunk.sizeBytes;
  }
  if (at !== sizeBytes) throw new FormatError('entry', `its chunks are not its ${sizeBytes} bytes`, { entry: name });
}

function landmarkOf(files: readonly FileRecord[]): Landmark | undefined {
  const found = files.find(({ name }) => name === PREFETCH_LANDMARK);
  if (found?.chunks[0] !== undefined) return { kind: 'prefetch', endOffset: found.chunks[0].offset };
  return files.some(({ name }) => name === NO_PREFETCH_LANDMARK) ? { kind: 'none' } : undefined;
}
