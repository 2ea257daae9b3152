import type { MemoryAccount } from './memory.ts';

type Column = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/**
 * Grows the columns to `capacity` values. Frees the old buffers at once, not at garbage collection, so views of them become
 * empty.
 */
export function growColumns<Name extends string>(
  owner: Record<Name, Column>,
  names: readonly Name[],
  capacity: number,
  memory: MemoryAccount,
): void {
  for (const name of names) {
    const column = owner[name];
    memory.take(capacity * column.BYTES_PER_ELEMENT);
    const oldBytes = column.byteLength;
    const buffer = (column.buffer as ArrayBuffer).transfer(capacity * column.BYTES_PER_ELEMENT);
    owner[name] = new (column.constructor as new (buffer: ArrayBuffer) => Column)(buffer);
    memory.give(oldBytes);
  }
}

/** Frees the columns at once; they are empty afterwards. */
export function freeColumns<Name extends string>(owner: Record<Name, Column>, names: readonly Name[]): void {
  for (const name of names) (owner[name].buffer as ArrayBuffer).transfer(0);
}
