/**
 * Reads and hashes members, compresses them on the pool's threads and appends them to the blob in order. Memory is bounded by the
 * number of slots in the pool.
 */
import { createHash, type Hash } from 'node:crypto';
import { digester, digestOf } from '../registry/digest.ts';
import { gatherBatches } from './batches.ts';
import type { BlobFile } from './blob-file.ts';
import type { CompressedBatch, CompressorPool } from './compressor-pool.ts';
import { type Member, type MemberOptions, ownBytes, type PlannedFile, planMembers } from './members.ts';
import { readInto } from '../tar/file-reader.ts';
import type { TocChunk, TocRecord } from './toc-writer.ts';

export interface MemberWriterOptions {
  readonly files: readonly PlannedFile[];
  /** End of the tar, for formats whose TOC trailer does not contain it. */
  readonly end: Buffer | undefined;
  readonly memberOptions: MemberOptions;
  readonly spoolFd: number;
  readonly blob: BlobFile;
  readonly pool: CompressorPool;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (doneBytes: number) => void;
}

export interface WrittenTar {
  /** In the order of the tar, with offsets and digests. */
  readonly records: TocRecord[];
  /** Covers the tar so far; the TOC may follow. */
  readonly diffId: ReturnType<typeof digester>;
  readonly sizeBytes: number;
}

export async function writeMembers(options: MemberWriterOptions): Promise<WrittenTar> {
  const { files, end, memberOptions, spoolFd, blob, pool, signal, onProgress } = options;
  const records = new Map(files.map((file) => [file, newRecord(file)]));
  const diffId = digester();
  const wholeFiles = new WholeFileDigests();
  const queue: InFlight[] = [];
  let sizeBytes = 0;
  const writeFirst = async (): Promise<void> => {
    const { slot, batch, result } = queue[0]!;
    appendBatch(await result, batch, records, blob);
    queue.shift();
    pool.release(slot);
    sizeBytes += sum(batch.map((member) => member.sizeBytes));
    onProgress(sizeBytes);
  };
  try {
    for (const batch of gatherBatches(withEnd(planMembers(files, memberOptions), end))) {
      signal?.throwIfAborted();
      let slot = pool.tryAcquire();
      while (slot === undefined && queue.length > 0) {
        await writeFirst();
        slot = pool.tryAcquire();
      }
      slot ??= await pool.acquire();
      const raw = pool.rawBuffer(slot);
      const chunks = fillBatch(spoolFd, batch, raw, records, wholeFiles);
      const memberSizes = batch.map((member) => member.sizeBytes);
      const result = pool.compress({ slot, memberSizes, chunks });
      result.catch(() => {}); // rethrown by writeFirst
      queue.push({ slot, batch, result });
      // Hashes while the threads compress; the slot stays ours until its batch is written.
      diffId.update(raw.subarray(0, sum(memberSizes)));
    }
    while (queue.length > 0) {
      signal?.throwIfAborted();
      await writeFirst();
    }
  } finally {
    // After a failure.
    for (const { slot, result } of queue)
      result.then(
        () => pool.release(slot),
        () => pool.release(slot),
      );
  }
  return { records: [...records.values()], diffId, sizeBytes };
}

interface InFlight {
  readonly slot: number;
  readonly batch: readonly Member[];
  readonly result: Promise<CompressedBatch>;
}

const emptyDigest = digestOf('');

function newRecord({ entry }: PlannedFile): TocRecord {
  return { entry, chunks: [], digest: entry.type === 'reg' && entry.sizeBytes === 0 ? emptyDigest : '' };
}

/** Copies the members back to back; returns the position and size of each chunk. */
function fillBatch(
  spoolFd: number,
  batch: readonly Member[],
  raw: Buffer,
  records: ReadonlyMap<PlannedFile, TocRecord>,
  wholeFiles: WholeFileDigests,
): [number, number][] {
  const chunks: [number, number][] = [];
  let at = 0;
  for (const member of batch) {
    for (const chunk of member.chunks) chunks.push([at + chunk.innerOffset, chunk.sizeBytes]);
    let end = at;
    for (const segment of member.segments) {
      if (segment.kind === 'own') segment.bytes.copy(raw, end);
      else if (segment.kind === 'zeros') raw.fill(0, end, end + segment.sizeBytes);
      else readInto(spoolFd, raw, end, segment.offset, segment.sizeBytes);
      end += segment.sizeBytes;
    }
    for (const { file, fileOffset, sizeBytes, innerOffset } of member.chunks) {
      const start = at + innerOffset;
      wholeFiles.update(records.get(file)!, fileOffset, raw.subarray(start, start + sizeBytes));
    }
    at = end;
  }
  return chunks;
}

function appendBatch(
  { bytes, sizes, digests }: CompressedBatch,
  batch: readonly Member[],
  records: ReadonlyMap<PlannedFile, TocRecord>,
  blob: BlobFile,
): void {
  let offset = blob.sizeBytes;
  let digestIndex = 0;
  for (const [index, member] of batch.entries()) {
    const endOffset = offset + sizes[index]!;
    for (const { file, fileOffset, sizeBytes, innerOffset } of member.chunks) {
      const record = records.get(file)!;
      const digest = `sha256:${digests[digestIndex++]}`;
      if (sizeBytes === file.entry.sizeBytes) record.digest = digest;
      record.chunks.push({ fileOffset, sizeBytes, innerOffset, digest, offset, endOffset } satisfies TocChunk);
    }
    offset = endOffset;
  }
  blob.append(bytes);
}

/** Digests of files with several chunks, which are consecutive and in order. */
class WholeFileDigests {
  #hash: Hash | undefined;

  update(record: TocRecord, fileOffset: number, content: Buffer): void {
    if (content.length === record.entry.sizeBytes) return;
    if (fileOffset === 0) this.#hash = createHash('sha256');
    this.#hash!.update(content);
    if (fileOffset + content.length === record.entry.sizeBytes) record.digest = `sha256:${this.#hash!.digest('hex')}`;
  }
}

function* withEnd(members: Iterable<Member>, end: Buffer | undefined): Generator<Member, void, void> {
  yield* members;
  if (end !== undefined) yield { segments: [ownBytes(end)], sizeBytes: end.length, chunks: [] };
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}
