import type { TopLevelSpec } from 'vega-lite';
import { roomWidth } from './theme.ts';

export const columnGap = 18;

export interface Layout {
  readonly columns: number;
  /** Of one plot. */
  readonly width: number;
}

/**
 * A grid of small plots within the width of a chart, however many there are: more plots make more rows, not a wider picture.
 * `axisWidth` is that of the axis at the left of the first column.
 */
export function layOut(count: number, axisWidth: number, minWidth = 140, wanted = columnsFor(count)): Layout {
  // Half of the last label of an axis stands beyond its plot.
  const room = roomWidth - axisWidth - 14;
  const fitting = Math.max(1, Math.floor((room + columnGap) / (minWidth + columnGap)));
  const columns = Math.min(wanted, fitting);
  return { columns, width: Math.floor((room - columnGap * (columns - 1)) / columns) };
}

function columnsFor(count: number): number {
  return count <= 1 ? 1 : count <= 4 ? 2 : count <= 12 ? 3 : 4;
}

/** The frame of small multiples, one per name, in the order of the names. */
export function facetBy(field: string, names: readonly string[], { columns, width }: Layout, rowGap = 22) {
  return {
    columns,
    spacing: { column: columnGap, row: rowGap },
    facet: {
      field,
      type: 'nominal' as const,
      sort: [...names],
      header: { labelAnchor: 'start' as const, labelPadding: 5, labelLimit: width },
    },
  };
}

/** Vega-Lite's types do not follow specifications that are put together from parts. */
export function specOf(parts: object): TopLevelSpec {
  return parts as TopLevelSpec;
}
