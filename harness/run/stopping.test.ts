import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sample } from '../../measurements/sample.ts';
import { seededRandom } from '../../measurements/stats/random.ts';
import { failed, timed } from '../../measurements/testing/samples.ts';
import type { Cell } from './plan.ts';
import { describeStop, type StoppingRule, watchStop } from './stopping.ts';

const order = { workloads: ['python'], modes: ['legacy', 'estargz'] };
const everything: StoppingRule = { until: undefined, budgetMs: undefined };

/** Blocks of a steady legacy and an estargz that scatters evenly by `spread`, each block taking a minute, until the rule ends it. */
function measure(rule: StoppingRule, spread: number, most = 200, earlier = 0) {
  const random = seededRandom(3);
  const samples: Sample[] = [];
  const announced: number[] = [];
  let clockMs = 0;
  const watch = watchStop(
    rule,
    order,
    ([first]) => announced.push(first!.sample),
    () => clockMs,
  );
  for (let round = 1; round <= most; round++) {
    if (watch.isEnough(samples, [{ sample: round } as Cell])) break;
    clockMs += round <= earlier ? 0 : 60_000;
    const factor = 1 + spread * (random() / 2 ** 31 - 1);
    samples.push(timed(4000, round, { mode: 'legacy' }), timed(1000 * factor, round));
  }
  assert.deepEqual(
    announced,
    Array.from({ length: samples.length / 2 }, (_, index) => index + 1),
  );
  return { blocks: samples.length / 2, reason: watch.reason };
}

test('without a rule every block is measured', () => {
  assert.deepEqual(measure(everything, 0.5, 9), { blocks: 9, reason: 'samples' });
});

test('a run ends when every speed-up is precise, not before six blocks, and later where times scatter more', () => {
  const until5 = (spread: number) => measure({ ...everything, until: 0.05 }, spread);
  assert.deepEqual(until5(0.001), { blocks: 6, reason: 'precision' });
  const [some, much] = [until5(0.15), until5(0.3)];
  assert.ok(6 < some.blocks && some.blocks < much.blocks, `${some.blocks}, ${much.blocks}`);
  assert.equal(much.reason, 'precision');
  assert.deepEqual(measure({ ...everything, until: 0.01 }, 0.3, 20), { blocks: 20, reason: 'samples' });
});

test('a run ends before the block that would not fit into its budget, and measures one in any case', () => {
  const within = (minutes: number) => measure({ ...everything, budgetMs: minutes * 60_000 }, 0.3).blocks;
  assert.deepEqual([0.5, 1, 1.9, 2, 3.5].map(within), [1, 1, 1, 2, 3]);
  assert.equal(measure({ until: 0.01, budgetMs: 300_000 }, 0.3).reason, 'budget');
});

test('blocks of an earlier run say nothing about the pace of this one', () => {
  assert.deepEqual(measure({ ...everything, budgetMs: 150_000 }, 0.3, 200, 10), { blocks: 12, reason: 'budget' });
});

test('a mode in which every cell fails does not keep a run from its end', () => {
  const watch = watchStop(
    { ...everything, until: 0.05 },
    order,
    () => {},
    () => 0,
  );
  const rounds = Array.from({ length: 6 }, (_, index) => [
    failed(index + 1),
    timed(4000, index + 1, { mode: 'legacy' }),
  ]);
  assert.equal(watch.isEnough(rounds.flat(), []), true);
  assert.equal(watch.reason, 'precision');
});

test('the end of a run is said where it is not the plan', () => {
  assert.equal(describeStop('precision', { until: 0.05 }), 'every speed-up is known to ± 5 %');
  assert.equal(describeStop('samples', { until: 0.025 }), 'not every speed-up is known to ± 2.5 %');
  assert.equal(describeStop('samples', { until: undefined }), undefined);
});
