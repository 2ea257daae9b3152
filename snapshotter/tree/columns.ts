import type { MemoryAccount } from './memory.ts';

type Column = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/**
 * Gives each of these columns room for `capacity` values. Both copies count while the values move; the old one is freed at
 * once, not when the garbage is collected, so nobody may hold a view of it.
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
