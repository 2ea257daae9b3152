import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareTimes, type Observation, samplesForVerdict } from './comparison.ts';

/** A small scatter around a value, another one per side, so that no two values are equal. */
const rounds = (count: number, value: number, phase = 0): Observation[] =>
  Array.from({ length: count }, (_, index) => ({
    round: index + 1,
    value: value * (1 + 0.01 * Math.sin(index * 2.4 + phase)),
  }));
const compare = (reference: readonly Observation[], subject: readonly Observation[], paired = true) =>
  compareTimes([{ reference, subject, paired }])[0];

test('a subject that takes less time is faster, one that takes more is slower', () => {
  const [fast, slow] = [rounds(10, 50), rounds(10, 200, 1)];
  assert.equal(compare(slow, fast)?.verdict, 'faster');
  assert.equal(compare(fast, slow)?.verdict, 'slower');
  assert.equal(compare(fast, slow, false)?.verdict, 'slower');
  assert.ok(Math.abs(compare(slow, fast)!.ratio - 0.25) < 0.01);
  assert.equal(compare(slow, fast)?.effectSize, 1);
});

test('a change below 2 % is no difference shown, however sure it is', () => {
  const steady = (value: number) => rounds(10, 100).map(({ round }) => ({ round, value: value + round / 1000 }));
  const small = compare(steady(100), steady(98.5))!;
  assert.ok(small.adjustedP < 0.001 && small.ratioInterval!.high < 1);
  assert.equal(small.verdict, 'no difference shown');
  assert.equal(compare(steady(100), steady(97.5))?.verdict, 'faster');
});

test('five rounds are too few for a verdict, and more comparisons need more', () => {
  assert.equal(compare(rounds(5, 100), rounds(5, 50, 1))?.verdict, 'too few samples');
  const many = (count: number, samples: number) =>
    compareTimes(
      Array.from({ length: count }, () => ({
        ...{ reference: rounds(samples, 100), subject: rounds(samples, 50, 1), paired: true },
      })),
    )[0]?.verdict;
  assert.equal(many(23, 6), 'faster');
  assert.equal(many(24, 6), 'too few samples');
  assert.equal(many(24, samplesForVerdict(24)), 'faster');
  assert.equal(samplesForVerdict(1), 6);
});

test('many comparisons raise what each must show', () => {
  const spread = (value: number, phase: number) =>
    rounds(10, value, phase).map(({ round, value: own }, index) => ({ round, value: own * (1 + 0.01 * index) }));
  const doubtful = { reference: spread(100, 0), subject: spread(104, 1), paired: true };
  const [alone] = compareTimes([doubtful]);
  const same = { reference: spread(100, 0), subject: spread(100, 2), paired: true };
  const [among] = compareTimes([doubtful, ...Array.from({ length: 19 }, () => same)]);
  assert.equal(alone?.verdict, 'slower', JSON.stringify(alone));
  assert.equal(among?.p, alone?.p);
  assert.equal(among?.verdict, 'no difference shown', JSON.stringify(among));
});

test('only rounds that both sides have are paired, and sides that share none are not compared', () => {
  const one = compare(rounds(8, 100), rounds(10, 50, 1).slice(1))!;
  assert.equal(one.roundCount, 7);
  assert.equal(compare(rounds(3, 100), rounds(10, 50).slice(3)), undefined);
  assert.equal(compare([], rounds(3, 50)), undefined);
  assert.equal(compare(rounds(3, 50), [], false), undefined);
});

test('what differs between the machines of a merged run does not hide what differs between its modes', () => {
  const onMachines = (value: number, phase: number) =>
    rounds(10, value, phase).map(({ round, value: own }) => {
      const speed = [1, 1.6][round % 2]!;
      return { round, value: own * speed, place: `machine ${speed}` };
    });
  const apart = compare(onMachines(100, 0), onMachines(110, 1))!;
  assert.equal(apart.verdict, 'slower');
  assert.equal(apart.effectSize, 0);
  const unaware = ({ round, value }: Observation) => ({ round, value });
  const mixed = compare(onMachines(100, 0).map(unaware), onMachines(110, 1).map(unaware))!;
  assert.equal(mixed.verdict, 'no difference shown');
});
