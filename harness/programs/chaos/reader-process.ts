/**
 * Reads an image's files in random order and compares them with what they must be, until it is told to end:
 *
 *     fork('reader-process.ts', [ROOT, IMAGE, SEED])      messages: reading.ts
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { randomBelow, seededRandom } from '../../../measurements/stats/random.ts';
import { filesOf } from './content.ts';
import type { ToReader } from './reading.ts';
import { emptyReadTally } from './tally.ts';

const [root, image, seed] = process.argv.slice(2) as [string, string, string];
const files = filesOf(Number(image));
const random = seededRandom(Number(seed));
const tally = emptyReadTally();
/** Fewer than libuv's threads, which waiting reads occupy. */
const laneCount = 3;
const maxReadBytes = 96 * 1024;
const maxPauseMs = 30;
const pauseAfterErrorMs = 100;
let isInWindow = false;
let isEnding = false;

process.on('message', (message: ToReader) => {
  if (message === 'window') {
    isInWindow = true;
    process.send!('window');
  } else isEnding = true;
});
// Its parent is gone.
process.on('disconnect', () => process.exit(1));
await Promise.all(Array.from({ length: laneCount }, readOn));
process.send!(tally, () => process.exit(0));

async function readOn(): Promise<void> {
  while (!isEnding) {
    const { path, content } = files[randomBelow(files.length, random)]!;
    const offset = randomBelow(content.length, random);
    const expected = content.subarray(offset, offset + 1 + randomBelow(maxReadBytes, random));
    const startedMs = performance.now();
    const isRight = await readOnce(join(root, path), offset, expected);
    if (!isInWindow) tally.longestMs = Math.max(tally.longestMs, performance.now() - startedMs);
    await delay(isRight ? randomBelow(maxPauseMs, random) : pauseAfterErrorMs);
  }
}

/** False if it failed. */
async function readOnce(path: string, offset: number, expected: Buffer): Promise<boolean> {
  try {
    await using file = await open(path);
    // read(2) returns what comes before a page that cannot be read; the next call then fails.
    for (let at = 0; at < expected.length; ) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(expected.length - at), 0, null, offset + at);
      count(buffer.subarray(0, bytesRead), expected.subarray(at));
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isInWindow) tally.windowErrors++;
    else if (code === 'EIO') tally.eios++;
    else tally.otherErrors++;
    return false;
  }
}

/** A file that ends too soon has as many wrong bytes. */
function count(got: Buffer, expected: Buffer): void {
  let [wrong, zeros] = [got.length === 0 ? expected.length : 0, 0];
  if (!got.equals(expected.subarray(0, got.length))) {
    for (const [at, byte] of got.entries()) {
      if (byte === expected[at]) continue;
      if (byte === 0) zeros++;
      else wrong++;
    }
  }
  tally.wrongBytes += wrong;
  if (isInWindow) {
    tally.windowReads++;
    tally.windowZeroBytes += zeros;
    return;
  }
  tally.reads++;
  tally.bytes += got.length;
  tally.zeroBytes += zeros;
}
