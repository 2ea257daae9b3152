import type { MemoryAccount } from './memory.ts';

type Column = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/**
 * Grows the columns to `capacity` values. Frees the old buffers at once, not at garbage collection, so views of them become
 * empty. A new buffer's pages cost nothing until they are written, other than those of ArrayBuffer.transfer(), which writes zeros.
 */
export function growColumns<Name extends string>(
  owner: Record<Name, Column>,
  names: readonly Name[],
  capacity: number,
  memory: MemoryAccount,
): void {
  for (const name of names) {
    const old = owner[name];
    const oldBytes = old.byteLength;
    memory.take(capacity * old.BYTES_PER_ELEMENT);
    const grown = new (old.constructor as new (length: number) => Column)(capacity);
    grown.set(old);
    owner[name] = grown;
    (old.buffer as ArrayBuffer).transfer(0);
    memory.give(oldBytes);
  }
}

/** Frees the columns at once; they are empty afterwards. */
export function freeColumns<Name extends string>(owner: Record<Name, Column>, names: readonly Name[]): void {
  for (const name of names) (owner[name].buffer as ArrayBuffer).transfer(0);
}
