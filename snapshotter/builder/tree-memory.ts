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
  readonly shared: SharedLayerMemory;
  /** Returns everything that was taken. Idempotent. */
  close(): void;
}

/** An account and its budget, for `viewLayerMemory` in this thread or another: one charges what another gives back. */
export interface SharedLayerMemory {
  readonly limitBytes: number;
  /** Bytes used by all layers, and by this one: one 64-bit integer each. */
  readonly usedBytes: SharedArrayBuffer;
  readonly takenBytes: SharedArrayBuffer;
}

/**
 * A TOC of some kilobytes can expand to millions of names, so memory is charged before it is allocated. Over the limit,
 * `take` throws FormatError 'limit', and containerd unpacks that layer instead.
 */
export function createTreeMemory(limitBytes: number): TreeMemory {
  const usedBytes = new SharedArrayBuffer(8);
  const used = new BigInt64Array(usedBytes);
  return {
    get usedBytes() {
      return Number(Atomics.load(used, 0));
    },
    open: () => viewLayerMemory({ limitBytes, usedBytes, takenBytes: new SharedArrayBuffer(8) }),
  };
}

export function viewLayerMemory(shared: SharedLayerMemory): LayerMemory {
  const { limitBytes } = shared;
  const used = new BigInt64Array(shared.usedBytes);
  const taken = new BigInt64Array(shared.takenBytes);
  const mib = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const give = (sizeBytes: number): void => {
    Atomics.sub(taken, 0, BigInt(sizeBytes));
    Atomics.sub(used, 0, BigInt(sizeBytes));
  };
  return {
    shared,
    take(sizeBytes) {
      const takenBefore = Number(Atomics.add(taken, 0, BigInt(sizeBytes)));
      const usedBefore = Number(Atomics.add(used, 0, BigInt(sizeBytes)));
      const isOverShare = takenBefore + sizeBytes > limitBytes / layerShare;
      if (!isOverShare && usedBefore + sizeBytes <= limitBytes) return;
      give(sizeBytes);
      throw new FormatError(
        'limit',
        isOverShare
          ? `its tree takes more than ${mib(limitBytes / layerShare)}, the largest share of one layer; raise tree_memory_bytes in [cache]`
          : `the trees of all layers would take more than ${mib(limitBytes)}; raise tree_memory_bytes in [cache]`,
      );
    },
    give,
    close() {
      Atomics.sub(used, 0, Atomics.exchange(taken, 0, 0n));
    },
  };
}
