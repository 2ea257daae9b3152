import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { randomBelow, seededRandom } from '../../../measurements/stats/random.ts';
import { bigFile, bigFileBytes } from './tree.ts';

export type Condition = 'warm' | 'cold' | 'demand';

/** What is done with a tree below `root`, a merged overlay. */
export interface Row {
  readonly key: string;
  readonly title: string;
  /** Most times overlayfs's time that a backend may take, from the issue. */
  readonly targets: Readonly<Record<'warm' | 'cold', Readonly<Record<string, number>>>>;
  run(root: string, signal: AbortSignal): Promise<void>;
  /** Runs in a row that make one warm sample, so that it does not take some 10 ms only. Default 1. */
  readonly warmRuns?: number;
  /**
   * Warm: how the page cache is filled, after it was dropped, before each sample. Where in memory the pages come to lie makes
   * a fifth of these times and more; else it would be drawn once for a whole run, in favour of one mount or another.
   */
  fill?(root: string, signal: AbortSignal): Promise<void>;
}

const randomReadCount = 20_000;
const readBytes = 4096;
const erofsCold = 1.3;

export const rows: readonly Row[] = [
  {
    key: 'find',
    title: 'find with stat',
    targets: { warm: { erofs: 1.2, fuse: 4 }, cold: { erofs: erofsCold } },
    run: (root, signal) => command('find', [root, '-printf', '%s %m %T@\\n'], signal),
  },
  {
    key: 'tar',
    title: 'tar of the tree',
    targets: { warm: { erofs: 1.2, fuse: 6 }, cold: { erofs: erofsCold } },
    // The big file has rows of its own.
    run: (root, signal) => tarAway(root, signal, [`--exclude=./${bigFile}`]),
  },
  {
    key: 'sequential',
    title: 'sequential read of 1 GiB',
    targets: { warm: { erofs: 1.1, fuse: 2 }, cold: { erofs: erofsCold } },
    warmRuns: 5,
    fill: readWhole,
    run: readWhole,
  },
  {
    key: 'random',
    title: `${randomReadCount.toLocaleString('en')} random reads of 4 KiB`,
    targets: { warm: { erofs: 1.1, fuse: 3 }, cold: { erofs: erofsCold } },
    warmRuns: 10,
    fill: readWhole,
    run: async (root) => readRandomly(join(root, bigFile)),
  },
  {
    key: 'python',
    title: 'python3 imports numpy, yaml, json',
    targets: { warm: { erofs: 1.05, fuse: 1.5 }, cold: { erofs: erofsCold } },
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

/** Onto /dev/null itself tar reads nothing. By bash, which tells when it is not the last of a pipe that failed. */
export async function tarAway(root: string, signal: AbortSignal, options: readonly string[] = []): Promise<void> {
  const script = 'tar -cf - -C "$0" "$@" . | cat > /dev/null';
  await command('bash', ['-o', 'pipefail', '-c', script, root, ...options], signal);
}

/** In this process: starting another would take longer than the reads do from memory. */
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
