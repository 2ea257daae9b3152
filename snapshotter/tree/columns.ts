import type { MemoryAccount } from './memory.ts';

type Column = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/** Gives each of these columns room for `capacity` values. Both copies count while the values move. */
export function growColumns<Name extends string>(
  owner: Record<Name, Column>,
  names: readonly Name[],
  capacity: number,
  memory: MemoryAccount,
): void {
  for (const name of names) {
    const column = owner[name];
    memory.take(capacity * column.BYTES_PER_ELEMENT);
    const larger = new (column.constructor as new (length: number) => Column)(capacity);
    larger.set(column as never);
    owner[name] = larger;
    memory.give(column.byteLength);
  }
}
