/** A thread of the compressor pool: compresses the members and hashes the chunks of one batch after another. */
import { hash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { MemberCompressor } from './compress.ts';
import type { Batch, BatchReply, PoolSetup } from './compressor-pool.ts';

const { codec, level, slots } = workerData as PoolSetup;
const compressor = new MemberCompressor(codec, level);
const views = slots.map(({ raw, compressed }) => ({ raw: Buffer.from(raw), compressed: Buffer.from(compressed) }));

parentPort!.on('message', ({ slot, memberSizes, chunks }: Batch) => {
  const { raw, compressed } = views[slot]!;
  const compressedSizes: number[] = [];
  let readAt = 0;
  let writeAt = 0;
  for (const sizeBytes of memberSizes) {
    const written = compressor.compress(raw.subarray(readAt, readAt + sizeBytes), compressed.subarray(writeAt));
    compressedSizes.push(written);
    readAt += sizeBytes;
    writeAt += written;
  }
  const digests = chunks.map(([start, sizeBytes]) => hash('sha256', raw.subarray(start, start + sizeBytes), 'hex'));
  parentPort!.postMessage({ slot, compressedSizes, digests } satisfies BatchReply);
});
