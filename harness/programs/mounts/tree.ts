import { createWriteStream } from 'node:fs';
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';
import { ensureBase } from '../../images/base.ts';
import { keyOf } from '../../images/key.ts';
import { type Random, randomBelow, seededRandom } from '../../../measurements/stats/random.ts';

export interface BenchTree {
  /** The unpacked tree. */
  readonly path: string;
  /** A tar of its Debian part: python3 with numpy and yaml. */
  readonly baseTarPath: string;
}

/** Paths in the tree. */
export const bigFile = 'srv/big.bin';
export const bigFileBytes = 2 ** 30;
const fileCount = 50_000;
const filesPerDirectory = 40;
const largestFileBytes = 32 * 1024;
const blockBytes = 1 << 20;
const packages = ['python3-numpy', 'python3-yaml'];

/**
 * A Debian root file system with python3 and numpy, 50,000 files of up to 32 KiB, half of them below 200 bytes, and one file of
 * 1 GiB. Built once and kept under `directory`.
 */
export async function ensureTree(
  directory: string,
  onStep: (detail: string) => void,
  signal: AbortSignal,
): Promise<BenchTree> {
  const base = await ensureBase(join(directory, 'images'), onStep, signal, packages);
  const key = keyOf({ base: base.key, fileCount, filesPerDirectory, largestFileBytes, bigFileBytes });
  const path = join(directory, `tree-${key}`);
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (!isThere) {
    onStep(`a tree of ${fileCount} files, Debian's beside, and one of 1 GiB`);
    const partial = `${path}.partial`;
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial);
    await execa('tar', ['-xpf', base.tarPath, '--numeric-owner', '-C', partial], { cancelSignal: signal });
    await writeFiles(join(partial, 'srv/files'), signal);
    await writeBigFile(join(partial, bigFile), signal);
    await rename(partial, path);
  }
  return { path, baseTarPath: base.tarPath };
}

async function writeFiles(directory: string, signal: AbortSignal): Promise<void> {
  const random = seededRandom(1);
  const block = randomBlock(random);
  for (let index = 0; index < fileCount; index++) {
    const parent = join(
      directory,
      `d${Math.floor(index / filesPerDirectory / 25)}`,
      `e${Math.floor(index / filesPerDirectory)}`,
    );
    if (index % filesPerDirectory === 0) await mkdir(parent, { recursive: true });
    signal.throwIfAborted();
    // Log-uniform: many small files, few large ones.
    const sizeBytes = Math.floor(largestFileBytes ** (random() / 2 ** 32));
    const start = randomBelow(blockBytes - largestFileBytes, random);
    await writeFile(join(parent, `file-${index}.txt`), block.subarray(start, start + sizeBytes));
  }
}

async function writeBigFile(path: string, signal: AbortSignal): Promise<void> {
  const block = randomBlock(seededRandom(2));
  function* blocks() {
    for (let index = 0; index < bigFileBytes / blockBytes; index++) {
      block.writeUInt32LE(index, 0);
      yield Buffer.from(block);
    }
  }
  await pipeline(Readable.from(blocks()), createWriteStream(path), { signal });
}

function randomBlock(random: Random): Buffer {
  const block = Buffer.alloc(blockBytes);
  for (let at = 0; at < blockBytes; at++) block[at] = random() & 255;
  return block;
}
