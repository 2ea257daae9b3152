import { closeSync, fstatSync, openSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { type Lifetime, undoAfter } from './lifetime.ts';

const PROT_READ = 1;
const MAP_SHARED = 1;
const MAP_LOCKED = 0x2000;
/** MAP_FAILED. */
const failed = (1n << 64n) - 1n;

const libc = koffi.load(null);
const mmap = libc.func(
  'uintptr_t mmap(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)',
);
const munmap = libc.func('int munmap(uintptr_t address, size_t length)');

/**
 * Reads a whole file into the page cache and keeps it there, with its name, until the test ends: whatever else on the machine
 * drops caches (a benchmark does before each cell) leaves mapped and locked pages. Throws where memory may not be locked.
 */
export function pinFile(lifetime: Lifetime, path: string): void {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const address = BigInt(mmap(0, size, PROT_READ, MAP_SHARED | MAP_LOCKED, fd, 0));
    if (address === failed) throw new Error(`cannot map and lock ${path}: ${getSystemErrorName(-koffi.errno())}`);
    undoAfter(lifetime, () => void munmap(address, size));
  } finally {
    closeSync(fd);
  }
}
