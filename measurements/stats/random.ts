/** Uniform 32-bit words. */
export type Random = () => number;

/**
 * xoshiro128** 1.1 (Blackman and Vigna, 2018), its 128-bit state filled from the seed by SplitMix32, because its
 * authors advise against using a seed as state. The same seed gives the same numbers on every platform: all arithmetic is on
 * 32-bit integers.
 */
export function seededRandom(seed: number): Random {
  const next = splitMix32(seed);
  let a = next();
  let b = next();
  let c = next();
  let d = next();
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotateLeft(d, 11);
    return result;
  };
}

/** An integer in [0, bound), unbiased: words above the largest multiple of `bound` are rejected. */
export function randomBelow(bound: number, random: Random): number {
  const limit = 2 ** 32 - (2 ** 32 % bound);
  for (;;) {
    const word = random();
    if (word < limit) return word % bound;
  }
}

/** Fisher-Yates shuffle into a new array. */
export function shuffle<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = randomBelow(last + 1, random);
    [result[last], result[other]] = [result[other]!, result[last]!];
  }
  return result;
}

function splitMix32(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = state ^ (state >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
