import { statfsSync } from 'node:fs';

const mostReservedBytes = 64 * 1024 * 1024;
const reservedShare = 0.02;
/** Interval between two checks of the free space. */
const mostUnseenBytes = 1024 * 1024;

export interface DiskReserve {
  /** Call before writing this many bytes. Throws ENOSPC if that would use the reserve. */
  use(sizeBytes: number): void;
}

/**
 * Reserves space on the disk of `path` against content: the snapshot database and the slot book need some to remove
 * anything.
 */
export function createDiskReserve(path: string): DiskReserve {
  const { blocks, bsize } = statfsSync(path);
  const reservedBytes = Math.min(mostReservedBytes, reservedShare * blocks * bsize);
  const lookBytes = Math.min(mostUnseenBytes, reservedBytes / 4);
  let unseenBytes = lookBytes;
  return {
    use(sizeBytes) {
      unseenBytes += sizeBytes;
      if (unseenBytes < lookBytes) return;
      const { bavail } = statfsSync(path);
      if (bavail * bsize < reservedBytes) {
        throw Object.assign(new Error('ENOSPC: what is left of the disk is reserved'), { code: 'ENOSPC' });
      }
      unseenBytes = 0;
    },
  };
}
