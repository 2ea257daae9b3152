/** A thread that builds trees and writes EROFS images; builder.ts is its other end. */
import { parentPort } from 'node:worker_threads';
import { writeImageFile } from '../erofs/image-file.ts';
import { viewInodeTable } from '../tree/inode-table.ts';
import { buildLayer } from './built-layer.ts';
import { encodeError, type Job, type MessageFromBuilder, type MessageToBuilder, type Results } from './message.ts';
import { viewLayerMemory } from './tree-memory.ts';

const port = parentPort!;
/** Each lane's last job. */
const lanes = new Map<string, Promise<void>>();

port.on('message', ({ id, lane, job }: MessageToBuilder) => {
  const before = lanes.get(lane) ?? Promise.resolve();
  const done = before
    .then(() => perform(job))
    .then(
      (result) => port.postMessage({ id, result } satisfies MessageFromBuilder),
      (error) => port.postMessage({ id, error: encodeError(error) } satisfies MessageFromBuilder),
    )
    .then(() => {
      if (lanes.get(lane) === done) lanes.delete(lane);
    });
  lanes.set(lane, done);
});

async function perform(job: Job): Promise<Results[keyof Results]> {
  if (job.kind === 'image') return await writeImageFile(job.directory, viewInodeTable(job.table), job.view);
  const { toc, footer, opaqueXattr, isLowest, memory } = job;
  const options = { opaqueXattr, isLowest, memory: viewLayerMemory(memory) };
  const { tree, ...digests } = await buildLayer(toc, footer, options);
  const { table, ...rest } = tree;
  return { tree: rest, table: table.shared, ...digests };
}
