import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeDrift } from './drift.ts';
import type { Sample } from './sample.ts';
import { summarize } from './summary.ts';
import { summaryColumns, summaryRows } from './summary-rows.ts';
import { stringifyTable } from './table.ts';
import { failed, timed } from './testing/samples.ts';

const order = { workloads: ['python', 'gcc'], modes: ['legacy', 'estargz', 'estargz+again'] };
const eachRound = (rounds: number, make: (round: number) => readonly Sample[]) =>
  Array.from({ length: rounds }, (_, index) => make(index + 1)).flat();
const near = (actual: number | undefined, expected: number) =>
  assert.ok(actual !== undefined && Math.abs(actual / expected - 1) < 1e-9, `${actual}, not ${expected}`);

test('a mode is compared with the reference of the same rounds, so that a slow round cancels out', () => {
  const slow = (round: number) => (round % 2 === 0 ? 10 : 1);
  const samples = eachRound(7, (round) => [
    timed(8000 * slow(round), round, { mode: 'legacy' }),
    timed(2000 * slow(round), round),
  ]);
  const [legacy, estargz] = summarize(samples, order).groups;
  near(estargz?.speedUp, 4);
  near(estargz?.speedUpInterval?.low, 4);
  assert.equal(estargz?.reference, 'legacy');
  assert.equal(legacy?.reference, undefined);
  assert.equal(legacy?.speedUp, undefined);
});

test('each link is summarised on its own, and a row says which it is', () => {
  const links = [
    { rttMs: 100, bandwidthMbps: 20, tcp: 'slow start' },
    { rttMs: 0, bandwidthMbps: undefined, tcp: undefined },
    { rttMs: 0, bandwidthMbps: 20, tcp: undefined },
  ];
  const samples = links.flatMap((link) =>
    eachRound(6, (round) => [
      timed(1000 + 80 * link.rttMs + round, round, { ...link, mode: 'legacy' }),
      timed(500 + 1 * link.rttMs - round, round, link),
    ]),
  );
  const summary = summarize(samples, order);
  assert.deepEqual(summary.links, [links[2], links[1], links[0]]);
  assert.equal(summary.comparisonCount, 3);
  assert.deepEqual(
    summary.overall.filter(({ verdict }) => verdict).map(({ rttMs, verdict }) => [rttMs, verdict]),
    [
      [0, 'faster'],
      [0, 'faster'],
      [100, 'faster'],
    ],
  );
  const rows = summaryRows(summary).filter(({ mode, workload }) => mode === 'estargz' && workload === 'python');
  assert.deepEqual(
    rows.map(({ rttMs, bandwidthMbps, rounds, verdict }) => [rttMs, bandwidthMbps, rounds, verdict]),
    [
      [0, 20, 6, 'faster'],
      [0, undefined, 6, 'faster'],
      [100, 20, 6, 'faster'],
    ],
  );
});

test('a second run is compared with the second run of the reference, and another reference may be named', () => {
  const samples = eachRound(6, (round) => [
    timed(4000, round, { mode: 'legacy' }),
    timed(1000, round),
    timed(500, round, { mode: 'estargz+again' }),
  ]);
  const referenceOf = (mode: string) =>
    summarize(samples, order).groups.find((group) => group.mode === mode)?.reference;
  assert.equal(referenceOf('estargz+again'), undefined, 'legacy+again was not measured');
  const groups = summarize(samples, order, () => 'estargz').groups;
  near(groups.find(({ mode }) => mode === 'estargz+again')?.speedUp, 2);
  near(groups.find(({ mode }) => mode === 'legacy')?.speedUp, 0.25);
});

test('the mean over workloads is of rounds that have all of them, or of workloads that have all rounds', () => {
  const both = (round: number) => [
    timed(4000, round, { mode: 'legacy' }),
    timed(1000, round),
    timed(9000, round, { mode: 'legacy', workload: 'gcc' }),
    timed(1000, round, { workload: 'gcc' }),
  ];
  const estargz = (samples: readonly Sample[]) =>
    summarize(samples, order).overall.find(({ mode }) => mode === 'estargz');
  const interrupted = [...eachRound(6, both), ...both(7).slice(0, 2)];
  assert.deepEqual([estargz(interrupted)?.workloadCount, estargz(interrupted)?.roundCount], [2, 6]);
  near(estargz(interrupted)?.speedUp, 6);
  const mostlyFailed = eachRound(6, (round) =>
    both(round).map((sample) => (sample.workload === 'gcc' && round > 1 ? failed(round, { workload: 'gcc' }) : sample)),
  );
  assert.deepEqual([estargz(mostlyFailed)?.workloadCount, estargz(mostlyFailed)?.roundCount], [1, 6]);
  near(estargz(mostlyFailed)?.speedUp, 4);
});

test('where every sample failed there are no statistics, and no zero stands for one', () => {
  const summary = summarize([failed(1), failed(2), timed(1000, 1, { mode: 'legacy' })], order);
  const text = stringifyTable(summaryColumns, summaryRows(summary)).split('\n')[2];
  assert.equal(text, `python,estargz,30,200,,0,2${','.repeat(Object.keys(summaryColumns).length - 7)}`);
});

test('an outlier is flagged and counts', () => {
  const totals = [1000, 1010, 990, 1005, 995, 3000];
  const [group] = summarize(
    totals.map((total, index) => timed(total, index + 1)),
    order,
  ).groups;
  assert.deepEqual(
    group?.outliers.map(({ totalMs }) => totalMs),
    [3000],
  );
  assert.equal(group?.samples.length, 6);
  assert.equal(group?.totalMs?.at(-1), 3000);
  const [row] = summaryRows(summarize(group!.samples, order));
  assert.deepEqual([row?.outliers, row?.totalMaxMs, row?.totalMedianMs], [1, 3000, 1002.5]);
});

test('a run that slows down says so, and one that does not is silent', () => {
  const drifting = (perRound: number) =>
    eachRound(8, (round) =>
      ['legacy', 'estargz'].map((mode, index) => timed(1000 * 3 ** index * (1 + perRound * round), round, { mode })),
    );
  assert.match(describeDrift(summarize(drifting(0.01), order).drift) ?? '', /^times rose by 7 % .*\(p < 0\.001\)$/);
  assert.match(describeDrift(summarize(drifting(-0.01), order).drift) ?? '', /^times fell by 7 % /);
  assert.equal(describeDrift(summarize(drifting(0.001), order).drift), undefined, 'below 2 %');
  assert.equal(summarize(drifting(0.01).slice(0, 8), order).drift, undefined, 'four rounds');
});
