/**
 * Reads an image's files in random order and compares them with what they must be, until SIGTERM; then lets the reads under way
 * end. Prints its journal (journal.ts):
 *
 *     node reader-process.ts ROOT IMAGE SEED
 */
import { writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { randomBelow, seededRandom } from '../../../measurements/stats/random.ts';
import { filesOf } from './content.ts';
import { formatBegin, formatEnd, type ReadEnd } from './journal.ts';

const [root, image, seed] = process.argv.slice(2) as [string, string, string];
const files = filesOf(Number(image));
const random = seededRandom(Number(seed));
const stdout = 1;
/** Fewer than libuv's threads, which waiting reads occupy. */
const laneCount = 3;
const maxReadBytes = 96 * 1024;
const maxPauseMs = 30;
const pauseAfterErrorMs = 100;
let isEnding = false;

process.on('SIGTERM', () => {
  isEnding = true;
});
await Promise.all(Array.from({ length: laneCount }, (_, lane) => readOn(lane)));

async function readOn(lane: number): Promise<void> {
  while (!isEnding) {
    const { path, content } = files[randomBelow(files.length, random)]!;
    const offset = randomBelow(content.length, random);
    const expected = content.subarray(offset, offset + 1 + randomBelow(maxReadBytes, random));
    writeSync(stdout, formatBegin(lane));
    const end = await readOnce(join(root, path), offset, expected);
    writeSync(stdout, formatEnd(lane, end));
    await delay(end.error === undefined ? randomBelow(maxPauseMs, random) : pauseAfterErrorMs);
  }
}

async function readOnce(path: string, offset: number, expected: Buffer): Promise<ReadEnd> {
  let [bytes, wrongBytes, zeroBytes] = [0, 0, 0];
  try {
    await using file = await open(path);
    // read(2) returns what comes before a page that cannot be read; the next call then fails.
    while (bytes < expected.length) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(expected.length - bytes), 0, null, offset + bytes);
      // A file that ends too soon has as many wrong bytes.
      if (bytesRead === 0) {
        wrongBytes += expected.length - bytes;
        break;
      }
      const got = buffer.subarray(0, bytesRead);
      const wanted = expected.subarray(bytes, bytes + bytesRead);
      if (!got.equals(wanted)) {
        for (const [at, byte] of got.entries()) {
          if (byte === wanted[at]) continue;
          if (byte === 0) zeroBytes++;
          else wrongBytes++;
        }
      }
      bytes += bytesRead;
    }
    return { bytes, wrongBytes, zeroBytes, error: undefined };
  } catch (error) {
    return { bytes, wrongBytes, zeroBytes, error: (error as NodeJS.ErrnoException).code ?? 'unknown' };
  }
}
