import { FormatError } from '../estargz/error.ts';
import type { MemoryAccount } from '../tree/memory.ts';

/** How much of all there is one layer may take. */
const layerShare = 2;

/** What the trees of all layers may take together, while they are built and while they are mounted. */
export interface TreeMemory {
  readonly usedBytes: number;
  /** An account for one layer. */
  open(): LayerMemory;
}

export interface LayerMemory extends MemoryAccount {
  /** Gives back whatever was taken. Idempotent. */
  close(): void;
}

/**
 * A TOC of some kilobytes can stand for millions of names, so memory is asked for before it is allocated. Who asks for too
 * much gets FormatError 'limit': that layer is then unpacked by containerd.
 */
export function createTreeMemory(limitBytes: number): TreeMemory {
  let usedBytes = 0;
  return {
    get usedBytes() {
      return usedBytes;
    },
    open() {
      let takenBytes = 0;
      const give = (sizeBytes: number): void => {
        takenBytes -= sizeBytes;
        usedBytes -= sizeBytes;
      };
      return {
        take(sizeBytes) {
          const mib = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
          if (takenBytes + sizeBytes > limitBytes / layerShare)
            throw new FormatError(
              'limit',
              `its tree takes more than ${mib(limitBytes / layerShare)}, the largest share of one layer; raise tree_memory_bytes in [cache]`,
            );
          if (usedBytes + sizeBytes > limitBytes)
            throw new FormatError(
              'limit',
              `the trees of all layers would take more than ${mib(limitBytes)}; raise tree_memory_bytes in [cache]`,
            );
          takenBytes += sizeBytes;
          usedBytes += sizeBytes;
        },
        give,
        close: () => give(takenBytes),
      };
    },
  };
}
