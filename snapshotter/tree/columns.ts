type Column = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/** Gives each of these columns room for `capacity` values. */
export function growColumns<Name extends string>(
  owner: Record<Name, Column>,
  names: readonly Name[],
  capacity: number,
): void {
  for (const name of names) {
    const column = owner[name];
    const larger = new (column.constructor as new (length: number) => Column)(capacity);
    larger.set(column as never);
    owner[name] = larger;
  }
}
