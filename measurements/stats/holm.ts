/**
 * Holm's adjustment (1979): the chance of even one false find among all of these tests stays below the level that the adjusted values are
 * compared with. In the order given; each at least its own p, at most 1.
 */
export function adjustForMany(pValues: readonly number[]): number[] {
  const order = pValues.map((_, index) => index).sort((one, other) => pValues[one]! - pValues[other]!);
  const adjusted = [...pValues];
  let largest = 0;
  for (const [rank, index] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * pValues[index]!));
    adjusted[index] = largest;
  }
  return adjusted;
}
