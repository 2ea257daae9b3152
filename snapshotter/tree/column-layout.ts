type Values = Float64Array | Uint32Array | Uint8Array;
type ValuesType = { new (buffer: ArrayBufferLike, offset: number, length: number): Values; BYTES_PER_ELEMENT: number };

/** A column of a buffer: name, type, and what there is a row of. Wide ones first, for alignment without padding. */
export type ColumnOf<Extent> = readonly [name: string, type: ValuesType, extent: Extent];

/** By name. */
export type ColumnViews<Column extends ColumnOf<unknown>> = {
  readonly [Name in Column[0]]: InstanceType<Extract<Column, readonly [Name, ...unknown[]]>[1]>;
};

export function columnsSizeBytes<Extent>(
  columns: readonly ColumnOf<Extent>[],
  lengthOf: (extent: Extent) => number,
): number {
  return columns.reduce((sum, [, type, extent]) => sum + lengthOf(extent) * type.BYTES_PER_ELEMENT, 0);
}

/** Views the columns, one behind the other, from `offset` of the buffer on. */
export function viewColumns<Extent, Column extends ColumnOf<Extent>>(
  columns: readonly Column[],
  lengthOf: (extent: Extent) => number,
  buffer: ArrayBufferLike,
  offset: number,
): ColumnViews<Column> {
  const views: Record<string, Values> = {};
  let at = offset;
  for (const [name, type, extent] of columns) {
    const length = lengthOf(extent);
    views[name] = new type(buffer, at, length);
    at += length * type.BYTES_PER_ELEMENT;
  }
  return views as ColumnViews<Column>;
}
