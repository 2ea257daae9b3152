import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { filesOf } from './content.ts';

const maxVerifyAttempts = 60;
const verifyPauseMs = 500;

/**
 * By libuv's threads: the main thread of this process serves nothing that the reads wait for. A file that fails is read again:
 * the registry may be dead just then.
 */
export async function findWrong(root: string, dataPath: string, image: number): Promise<string[]> {
  const wrong: string[] = [];
  for (const { path, content } of filesOf(image)) {
    const read = await readPatiently(join(root, path), content.length);
    if (read instanceof Error) wrong.push(`${path}: ${read.message}`);
    else if (!read.equals(content)) wrong.push(`${path}: ${await describeDamage(read, content, dataPath)}`);
  }
  return wrong;
}

async function readPatiently(path: string, sizeBytes: number): Promise<Buffer | Error> {
  for (let attempt = 1; ; attempt++) {
    const read = await readWhole(path, sizeBytes).catch((error: NodeJS.ErrnoException) => error);
    if (!(read instanceof Error) || read.code !== 'EIO' || attempt === maxVerifyAttempts) return read;
    await delay(verifyPauseMs);
  }
}

/** Not by readFile: Node takes a short read for the end of the file, and read(2) is short before a page that fails. */
async function readWhole(path: string, sizeBytes: number): Promise<Buffer> {
  await using file = await open(path);
  const bytes = Buffer.alloc(sizeBytes);
  for (let done = 0; done < sizeBytes; ) {
    const { bytesRead } = await file.read(bytes, done, sizeBytes - done, done);
    if (bytesRead === 0) return bytes.subarray(0, done);
    done += bytesRead;
  }
  return bytes;
}

/** Where it differs, and whether it is the daemon's data that is wrong or the kernel's cache of it. */
async function describeDamage(read: Buffer, content: Buffer, dataPath: string): Promise<string> {
  const differing = [...content.keys()].filter((at) => read[at] !== content[at]);
  const zeros = differing.filter((at) => read[at] === 0).length;
  const data = await readFile(dataPath);
  return (
    `${differing.length} of ${content.length} bytes differ, from ${differing[0]} to ${differing.at(-1)}, ${zeros} of them zeros, ` +
    `length ${read.length}; the data file is ${data.includes(content) ? 'right' : 'wrong too'}`
  );
}
