/** P(|Z| >= z) of a standard normal Z: erfc(z / sqrt 2) by the rational Chebyshev fit of Press et al., to 1.2e-7 of its value. */
export function twoSidedNormal(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + x / 2);
  let sum = 0;
  for (const coefficient of erfcCoefficients) sum = sum * t + coefficient;
  return Math.min(1, t * Math.exp(-x * x + sum));
}

/** Numerical Recipes in C, 6.2; highest power first. */
const erfcCoefficients = [
  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
  -1.26551223,
];
