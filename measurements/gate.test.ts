import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatChange, judge } from './gate.ts';
import { compareRuns, compareWithin } from './run-comparison.ts';
import type { Sample } from './sample.ts';
import { environmentOf, runOf } from './testing/runs.ts';
import { failed, timed } from './testing/samples.ts';

const bounds = { bytes: 0.05, requests: 0.1, total: 0.2 };
const strict = { otherImages: false };
const scatter = (round: number) => 1 + 0.01 * Math.sin(round * 2.4);
const rounds = (count: number, make: (round: number) => Sample) =>
  Array.from({ length: count }, (_, index) => make(index + 1));

/** Eight rounds of python in estargz. */
const measured = (changed: Partial<Sample> = {}, totalMs = 1000) =>
  rounds(8, (round) =>
    timed(totalMs * scatter(round), round, {
      ...{ image: '127.0.0.1:4001/python:estargz-1', wireBytes: 1000, wireRequests: 10 },
      ...changed,
    }),
  );

test('bytes and requests above their bounds fail, at the bounds they pass', () => {
  const base = runOf(measured());
  const judged = (changed: Partial<Sample>) =>
    judge(compareRuns(base, runOf(measured(changed)), strict), bounds).faults;
  assert.deepEqual(judged({ wireBytes: 1050, wireRequests: 11 }), []);
  assert.deepEqual(judged({ wireBytes: 1060 }), [
    'python estargz, 30 ms RTT, 200 Mbit/s: bytes +6.0 %, at most +5.0 %',
  ]);
  assert.deepEqual(judged({ wireRequests: 13 }), [
    'python estargz, 30 ms RTT, 200 Mbit/s: requests +30 %, at most +10 %',
  ]);
  assert.deepEqual(judged({ wireBytes: 10 }), [], 'less is no fault');
});

test('times of two runs are not judged, and that is said', () => {
  const slower = compareRuns(runOf(measured()), runOf(measured({}, 3000)), strict);
  assert.ok(slower.changes[0]!.total!.ratio > 2.9);
  const { faults, notes } = judge(slower, bounds);
  assert.deepEqual(faults, []);
  assert.deepEqual(notes, ['times of two runs are not judged: interleave them with bench --base REF']);
  assert.deepEqual(judge(slower, { bytes: 0.05 }).notes, [], 'nor asked for');
});

test('interleaved times fail if they are slower by more than the bound, and significantly', () => {
  const within = (headMs: number, count = 8) => {
    const both = (round: number) => [
      timed(1000 * scatter(round), round, { mode: 'base:estargz' }),
      timed(headMs * scatter(round + 5), round),
    ];
    return judge(compareWithin(runOf(Array.from({ length: count }, (_, index) => both(index + 1)).flat()).summary), {
      total: bounds.total,
    });
  };
  assert.match(within(1300).faults.join(), /^python estargz, .*: total \+30 %, at most \+20 %$/);
  assert.deepEqual(within(1150).faults, [], 'slower, within the bound');
  assert.deepEqual(within(700).faults, []);
  assert.deepEqual(within(1300, 4), { faults: [], notes: ['too few samples to judge the times of 1 of 1'] });
});

test('what cannot be compared is a fault: another image, another link, a mode or workload that is gone', () => {
  const base = runOf([...measured(), ...measured({ workload: 'gcc' })], environmentOf(), 'base');
  const other = (samples: readonly Sample[], options = strict) =>
    compareRuns(base, runOf(samples, environmentOf(), 'head'), options);
  const image = other([...measured({ image: '127.0.0.1:9/python:estargz-2' }), ...measured({ workload: 'gcc' })]);
  assert.deepEqual(image.excluded, ['python estargz, 30 ms RTT, 200 Mbit/s: another image']);
  assert.equal(image.changes.length, 1);
  assert.deepEqual(judge(image, bounds).faults, [
    'not comparable: python estargz, 30 ms RTT, 200 Mbit/s: another image',
  ]);
  const told = other([...measured({ image: 'another' }), ...measured({ workload: 'gcc' })], { otherImages: true });
  assert.equal(told.changes.length, 2);
  assert.deepEqual(other(measured()).excluded, ['gcc estargz, 30 ms RTT, 200 Mbit/s: not in head']);
  const far = other([...measured({ rttMs: 100 }), ...measured({ workload: 'gcc', rttMs: 100 })]);
  assert.deepEqual(far.changes, []);
  assert.equal(far.excluded.length, 4);
});

test('the address of the registry, which is another in each run, makes no other image', () => {
  const moved = compareRuns(runOf(measured()), runOf(measured({ image: '127.0.0.1:5/python:estargz-1' })), strict);
  assert.deepEqual(moved.excluded, []);
});

test('a group that worked and no longer does fails', () => {
  const head = runOf(rounds(3, (round) => failed(round, { image: '127.0.0.1:4001/python:estargz-1' })));
  const comparison = compareRuns(runOf(measured()), head, strict);
  assert.deepEqual(judge(comparison, {}).faults, ['python estargz, 30 ms RTT, 200 Mbit/s: all 3 samples failed']);
});

test('a change has a sign and two digits that count', () => {
  assert.deepEqual([1, 1.052, 0.88, 2.5, undefined].map(formatChange), ['+0.0 %', '+5.2 %', '-12 %', '+150 %', '–']);
});

test('a bound on what was not counted is a fault, and a note where only some modes cannot count it', () => {
  const unknown = { wireBytes: undefined, wireRequests: undefined };
  const judged = (samples: readonly Sample[]) => judge(compareRuns(runOf(samples), runOf(samples), strict), bounds);
  assert.deepEqual(judged(measured(unknown)).faults, [
    'no bytes were counted: nothing of them is compared',
    'no requests were counted: nothing of them is compared',
  ]);
  const some = judged([...measured(), ...measured({ workload: 'gcc', wireRequests: undefined })]);
  assert.deepEqual(some.faults, []);
  assert.equal(some.notes[0], 'requests of 1 of 2 were not counted, and are not judged');
});
