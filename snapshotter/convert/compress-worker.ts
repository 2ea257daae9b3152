/** A thread of the compressor pool; compresses one batch at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import { MemberCompressor } from './compress.ts';
import { type Batch, compressBatch } from './compress-batch.ts';
import type { PoolSetup } from './compressor-pool.ts';

const { codec, level, slots } = workerData as PoolSetup;
const compressor = new MemberCompressor(codec, level);
const views = slots.map(({ raw, compressed }) => ({ raw: Buffer.from(raw), compressed: Buffer.from(compressed) }));

parentPort!.on('message', (batch: Batch) => {
  const { raw, compressed } = views[batch.slot]!;
  parentPort!.postMessage(compressBatch(compressor, batch, raw, compressed));
});
