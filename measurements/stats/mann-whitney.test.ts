import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../testkit/random.ts';
import { leastP, mannWhitney } from './mann-whitney.ts';
import { sortSamples } from './median.ts';

const compare = (reference: readonly number[], subject: readonly number[]) =>
  mannWhitney(sortSamples(reference)!, sortSamples(subject)!);
const near = (actual: number, expected: number, within = 1e-9) =>
  assert.ok(Math.abs(actual - expected) < within, `${actual}, not ${expected}`);

test('p is the share of all divisions that separate the groups as much', () => {
  near(compare([1, 2, 3], [4, 5, 6]).p, 2 / 20);
  near(compare([1, 2, 3, 4], [5, 6, 7, 8]).p, 2 / 70);
  near(compare([1, 3, 5], [2, 4, 6]).p, 0.7);
  near(leastP(3, 3), 2 / 20);
  near(leastP(10, 10), 2 / 184_756);
});

test('p equals that of an enumeration, with ties as without', () => {
  const group = (most: number) => fc.array(fc.integer({ min: 0, max: most }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(
      fc.constantFrom(3, 1000).chain((most) => fc.tuple(group(most), group(most))),
      ([reference, subject]) => {
        near(compare(reference, subject).p, enumerate(reference, subject));
      },
    ),
    { numRuns: 200 },
  );
});

test('groups that cannot be told apart have p = 1 and no effect', () => {
  assert.deepEqual(compare([5, 5, 5], [5, 5, 5]), { p: 1, effectSize: 0.5 });
  const many = Array.from({ length: 40 }, () => 7);
  assert.deepEqual(compare(many, many), { p: 1, effectSize: 0.5 });
});

test('the effect is the chance that a subject is below a reference', () => {
  assert.equal(compare([10, 11, 12], [1, 2, 3]).effectSize, 1);
  assert.equal(compare([1, 2, 3], [10, 11, 12]).effectSize, 0);
  near(compare([2, 4], [1, 4]).effectSize, (1 + 1 + 0 + 0.5) / 4);
});

test('where counting ends, the normal approximation continues', () => {
  for (const shift of [2.5, 5.5, 7.5]) {
    const reference = Array.from({ length: 40 }, (_, index) => index);
    const { p } = compare(
      reference,
      reference.map((value) => value + shift),
    );
    // A subject is above as many references as are at most its index + shift.
    const above = reference.reduce((sum, value) => sum + Math.min(40, value + Math.ceil(shift)), 0);
    const exact = countedP(40, 40, above);
    assert.ok(Math.abs(p / exact - 1) < 0.1, `shift ${shift}: ${p}, counted ${exact}`);
  }
});

/** 2 P(U >= u), u above the middle, by the recursion over the largest value: it is a subject's, above all m, or a reference's. */
function countedP(m: number, n: number, u: number): number {
  let rows = Array.from({ length: m + 1 }, () => [1n]);
  for (let subjects = 1; subjects <= n; subjects++) {
    const next: bigint[][] = [[1n]];
    for (let references = 1; references <= m; references++) {
      next.push(
        Array.from(
          { length: references * subjects + 1 },
          (_, at) => (rows[references]![at - references] ?? 0n) + (next[references - 1]![at] ?? 0n),
        ),
      );
    }
    rows = next;
  }
  const counts = rows[m]!;
  const sum = (values: readonly bigint[]) => values.reduce((total, value) => total + value, 0n);
  return (2 * Number(sum(counts.slice(u)))) / Number(sum(counts));
}

/** Over every choice of which of the pooled values are the subject's. */
function enumerate(reference: readonly number[], subject: readonly number[]): number {
  const pool = [...reference, ...subject];
  const distanceOf = (mask: number) => {
    let above = 0;
    let pairs = 0;
    for (const [one, value] of pool.entries()) {
      for (const [other, against] of pool.entries()) {
        if (!(mask & (1 << one)) || mask & (1 << other)) continue;
        pairs++;
        above += value > against ? 1 : value === against ? 0.5 : 0;
      }
    }
    return Math.abs(2 * above - pairs);
  };
  const observed = distanceOf(((1 << subject.length) - 1) << reference.length);
  let all = 0;
  let asFar = 0;
  for (let mask = 0; mask < 1 << pool.length; mask++) {
    if (bits(mask) !== subject.length) continue;
    all++;
    if (distanceOf(mask) >= observed) asFar++;
  }
  return asFar / all;
}

function bits(mask: number): number {
  return mask.toString(2).replaceAll('0', '').length;
}
