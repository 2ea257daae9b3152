import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { randomBelow, seededRandom } from '../../../measurements/stats/random.ts';
import { bigFile, bigFileBytes } from './tree.ts';

/** What is done with a tree below `root`, a merged overlay. */
export interface Operation {
  readonly name: string;
  readonly title: string;
  /** How many times overlayfs's time a backend may take. */
  readonly maxRatios: Readonly<Record<'warm' | 'cold', Readonly<Record<string, number>>>>;
  run(root: string, signal: AbortSignal): Promise<void>;
  /** Consecutive runs that make one warm sample, so that it takes longer than some 10 ms. Default 1. */
  readonly warmRuns?: number;
  /**
   * Warm: fills the page cache, after it was dropped, before each sample. Where in memory the pages come to lie changes these
   * times by a fifth and more; otherwise that would be decided once for a whole run, in favour of one mount or another.
   */
  fill?(root: string, signal: AbortSignal): Promise<void>;
}

const randomReadCount = 20_000;
const readBytes = 4096;
const erofsCold = 1.3;

export const operations: readonly Operation[] = [
  {
    name: 'find',
    title: 'find with stat',
    maxRatios: { warm: { erofs: 1.2, fuse: 4 }, cold: { erofs: erofsCold } },
    run: (root, signal) => command('find', [root, '-printf', '%s %m %T@\\n'], signal),
  },
  {
    name: 'tar',
    title: 'tar of the tree',
    maxRatios: { warm: { erofs: 1.2, fuse: 6 }, cold: { erofs: erofsCold } },
    // The big file has operations of its own.
    run: (root, signal) => tarAway(root, signal, [`--exclude=./${bigFile}`]),
  },
  {
    name: 'sequential',
    title: 'sequential read of 1 GiB',
    maxRatios: { warm: { erofs: 1.1, fuse: 2 }, cold: { erofs: erofsCold } },
    warmRuns: 5,
    fill: readWhole,
    run: readWhole,
  },
  {
    name: 'random',
    title: `${randomReadCount.toLocaleString('en')} random reads of 4 KiB`,
    maxRatios: { warm: { erofs: 1.1, fuse: 3 }, cold: { erofs: erofsCold } },
    warmRuns: 10,
    fill: readWhole,
    run: async (root) => readRandomly(join(root, bigFile)),
  },
  {
    name: 'python',
    title: 'python3 imports numpy, yaml, json',
    maxRatios: { warm: { erofs: 1.05, fuse: 1.5 }, cold: { erofs: erofsCold } },
    warmRuns: 5,
    run: (root, signal) => command('chroot', [root, 'python3', '-Bc', 'import numpy, yaml, json'], signal),
  },
];

function readWhole(root: string, signal: AbortSignal): Promise<void> {
  return command('dd', [`if=${join(root, bigFile)}`, 'of=/dev/null', 'bs=1M', 'status=none'], signal);
}

async function command(name: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  await execa(name, args, { stdin: 'ignore', stdout: 'ignore', cancelSignal: signal, timeout: 600_000 });
}

/** Through a pipe: tar reads no content if its output is /dev/null. bash's pipefail reports a tar that failed. */
export async function tarAway(root: string, signal: AbortSignal, options: readonly string[] = []): Promise<void> {
  const script = 'tar -cf - -C "$0" "$@" . | cat > /dev/null';
  await command('bash', ['-o', 'pipefail', '-c', script, root, ...options], signal);
}

/** In this process: starting another takes longer than reading from memory. */
function readRandomly(path: string): void {
  const random = seededRandom(3);
  const buffer = Buffer.alloc(readBytes);
  const fd = openSync(path, 'r');
  try {
    for (let count = 0; count < randomReadCount; count++) {
      readSync(fd, buffer, 0, readBytes, randomBelow(bigFileBytes / readBytes, random) * readBytes);
    }
  } finally {
    closeSync(fd);
  }
}
