import { statfsSync } from 'node:fs';

const mostReservedBytes = 64 * 1024 * 1024;
const reservedShare = 0.02;
/** Between two looks at the disk. */
const mostUnseenBytes = 1024 * 1024;

export interface DiskReserve {
  /** Before so many bytes are written. Throws ENOSPC where only the reserve is left. */
  use(sizeBytes: number): void;
}

/**
 * Keeps content from taking the last of the disk that `path` lies on: whatever removes it, the snapshots' database and the
 * book of slots, needs some room itself.
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
