/** y = intercept + slope * x */
export interface Line {
  readonly intercept: number;
  readonly slope: number;
}

/** The line of least squares. Undefined for fewer than two points, or where all have the same x. */
export function fitLine(points: readonly { readonly x: number; readonly y: number }[]): Line | undefined {
  const n = points.length;
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / n;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / n;
  const squares = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  if (n < 2 || squares === 0) return undefined;
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / squares;
  return { slope, intercept: meanY - slope * meanX };
}
