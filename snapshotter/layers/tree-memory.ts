import { FormatError } from '../estargz/error.ts';
import type { MemoryAccount } from '../tree/memory.ts';

/** One layer may use 1 / layerShare of the limit. */
const layerShare = 2;

/** The memory budget for the trees of all layers, while they are built and while they are mounted. */
export interface TreeMemory {
  readonly usedBytes: number;
  /** Opens an account for a layer. */
  open(): LayerMemory;
}

export interface LayerMemory extends MemoryAccount {
  /** Returns everything that was taken. Idempotent. */
  close(): void;
}

/**
 * A TOC of some kilobytes can expand to millions of names, so memory is charged before it is allocated. Over the limit,
 * `take` throws FormatError 'limit', and containerd unpacks that layer instead.
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
