import { execFile } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { allocatePresence } from '../store/presence.ts';
import { MNT_DETACH, unmountFilesystem } from '../platform/syscalls.ts';
import { buildInodeTable } from '../tree/build.ts';
import { findPath } from '../tree/lookup.ts';
import { writeImageFile } from './image-file.ts';
import { ErofsServer } from './server.ts';

const run = promisify(execFile);
/** Name prefix of probe directories; existing ones were left by killed daemons. */
const prefix = '.probe-';
const limitMs = 5000;
const probeBytes = 4096;
const otherBytes = 8 << 20;
const digest = `sha256:${'0'.repeat(64)}`;

/**
 * Tests whether this kernel and the file system under `root` do what the EROFS face needs: mounts a small image, has a
 * hole read, fills it on the event, and checks the event's range and the bytes read.
 */
export async function probeErofs(root: string): Promise<{ works: boolean; reason: string }> {
  for (const name of await readdir(root)) if (name.startsWith(prefix)) await remove(join(root, name));
  const directory = await mkdtemp(join(root, prefix));
  try {
    const asked = await readHole(directory);
    return asked < probeBytes + otherBytes
      ? { works: true, reason: 'holes are asked for by range, and filled' }
      : { works: false, reason: 'the kernel does not say which range is read' };
  } catch (error) {
    return { works: false, reason: (error as Error).message };
  } finally {
    await remove(directory);
  }
}

async function remove(directory: string): Promise<void> {
  // Another mount namespace may still have a copy, which does no harm: nothing reads its holes.
  await unmountFilesystem(join(directory, 'mnt', '1'), MNT_DETACH).catch(() => {});
  await rm(directory, { recursive: true, force: true }).catch(() => {});
}

/** The largest range that one event asked for. */
async function readHole(directory: string): Promise<number> {
  const { table } = buildInodeTable(Buffer.from(JSON.stringify(probeToc)), { payloadEnd: 3, opaqueXattr: 'trusted' });
  const dataPath = join(directory, 'data');
  const dataFd = openSync(dataPath, 'w+');
  let server: ErofsServer | undefined;
  try {
    ftruncateSync(dataFd, table.dataSizeBytes);
    const imagePath = await writeImageFile(directory, table);
    server = new ErofsServer(join(directory, 'mnt'), { missLimitMs: limitMs });
    const content = Buffer.alloc(probeBytes, 'probe ');
    const contentOffset = table.dataOffset[findPath(table, 'probe')]!;
    let askedBytes = 0;
    const path = await server.addLayer(
      { slot: 1, table, present: allocatePresence(table.chunkCount), dataFd, dataPath, imagePath },
      {
        async ensure(_offset, sizeBytes) {
          askedBytes = Math.max(askedBytes, sizeBytes);
          writeSync(dataFd, content, 0, probeBytes, contentOffset);
        },
      },
    );
    // By another process: events of this one are always allowed (worker.ts).
    const { stdout: read } = await run('cat', [join(path, 'probe')], {
      encoding: 'buffer',
      timeout: limitMs,
      killSignal: 'SIGKILL',
    });
    if (askedBytes === 0) throw new Error('the file system below raises no pre-access events');
    if (!read.equals(content)) throw new Error('a hole that was filled read as something else');
    return askedBytes;
  } finally {
    await server?.close();
    closeSync(dataFd);
  }
}

const probeToc = {
  version: 1,
  entries: [
    { name: 'probe', type: 'reg', size: probeBytes, offset: 1, mode: 0o644, digest, chunkDigest: digest },
    { name: 'rest', type: 'reg', size: otherBytes, offset: 2, mode: 0o644, digest, chunkDigest: digest },
  ],
};
