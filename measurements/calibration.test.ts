import assert from 'node:assert/strict';
import { glob } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readBenchRun } from './bench-run.ts';
import { compareWithin } from './run-comparison.ts';
import { readSamples } from './sample.ts';
import { type Interval, medianInterval, sortSamples } from './stats/median.ts';
import { type Random, randomBelow, seededRandom } from './stats/random.ts';
import { type Pairs, pairedRatio, unpairedRatio } from './stats/ratio.ts';
import { summarize } from './summary.ts';
import { timed } from './testing/samples.ts';

/** Whether the statistics do what they say, over thousands of runs drawn from known distributions and from real noise. */

const limit = { timeout: 120_000 };
const published = fileURLToPath(new URL('../results/published', import.meta.url));
const trials = 2000;
/**
 * Quiet runs, whose lazy starts lie some 4 % from the mean of their like. Named, so that publishing a run from a noisier machine does not change what
 * the tests below claim.
 */
const quietRuns = [
  'bench/20261126-231446',
  'bench-peer/20261126-230839',
  'bench-peer/20261126-231921',
  'bench-peer/20261126-232025',
];

const uniform = (random: Random) => (random() + 0.5) / 2 ** 32;
const normal = (random: Random) => Math.sqrt(-2 * Math.log(uniform(random))) * Math.cos(2 * Math.PI * uniform(random));
/** Logarithms of factors. The skewed one is a usual time with now and then a much longer one. */
const noises: Readonly<Record<string, { draw: (random: Random) => number; median: number }>> = {
  symmetric: { draw: (random) => 0.05 * normal(random), median: 0 },
  skewed: { draw: (random) => -0.3 * Math.log(uniform(random)), median: 0.3 * Math.LN2 },
};
const repeat = (count: number, draw: () => number) => Array.from({ length: count }, draw);

for (const [name, { draw, median }] of Object.entries(noises)) {
  for (const n of [6, 7, 8, 10, 25]) {
    test(`the interval of a median covers it in 95 % of runs: ${name}, n = ${n}`, limit, () => {
      const random = seededRandom(n);
      const truth = 1000 * Math.exp(median);
      assertCovers(truth, () => {
        return medianInterval(sortSamples(repeat(n, () => 1000 * Math.exp(draw(random))))!);
      });
    });

    test(`the interval of a paired ratio covers it in 95 % of runs: ${name}, n = ${n}`, limit, () => {
      const random = seededRandom(100 + n);
      // A reference as steady as a whole pull beside a subject that is not, and rounds that slow both alike.
      assertCovers(0.5 * Math.exp(median), () => {
        const pairs = Array.from({ length: n }, () => {
          const round = Math.exp(0.2 * normal(random));
          return { reference: 2000 * round, subject: 1000 * round * Math.exp(draw(random)) };
        });
        return pairedRatio(pairs as unknown as Pairs).interval;
      });
    });

    test(`the interval of a ratio of two runs covers it in 95 % of them: ${name}, n = ${n}`, limit, () => {
      const random = seededRandom(200 + n);
      const side = (value: number) => sortSamples(repeat(n, () => value * Math.exp(draw(random))))!;
      assertCovers(0.5, () => unpairedRatio(side(2000), side(1000)).interval);
    });
  }
}

test('the interval of the geometric mean over workloads covers it in 95 % of runs, also of six rounds', limit, () => {
  for (const n of [6, 10]) {
    const random = seededRandom(300 + n);
    const factor = () => Math.exp(0.1 * normal(random));
    assertCovers(4, () => simulateRun(n, { fast: 0.25 }, factor).overall.at(-1)?.speedUpInterval);
  }
});

test(
  'the same mode under two names differs in at most 5 % of comparisons, with the noise of quiet runs',
  limit,
  async () => {
    const noise = await quietNoise();
    for (const n of [6, 10]) {
      const random = seededRandom(400 + n);
      const verdicts = repeatRuns(500, () => simulateRun(n, { same: 1 }, () => redraw(noise, random)));
      const different = verdicts.same!.filter((verdict) => verdict !== 'no difference shown').length;
      assert.ok(different / verdicts.same!.length <= 0.05, `${different} of ${verdicts.same!.length}`);
    }
  },
);

test('published runs of one commit beside itself show hardly a difference', limit, async () => {
  const verdicts: string[] = [];
  for await (const path of glob(`${published}/bench/*/samples.csv`)) {
    const run = await readBenchRun(dirname(path));
    const modes = run.environment.details.modes as readonly { readonly base?: { readonly commit: string } }[];
    if (!modes.some(({ base }) => base?.commit === run.environment.commit)) continue;
    verdicts.push(...compareWithin(run.summary).changes.flatMap(({ total }) => total?.verdict ?? []));
  }
  const different = verdicts.filter((verdict) => verdict !== 'no difference shown').length;
  assert.ok(verdicts.length >= 4 && different / verdicts.length <= 0.05, `${different} of ${verdicts.length}`);
});

test('a delay of 10 % is found in ten rounds in 80 % of comparisons, with the noise of quiet runs', limit, async () => {
  const noise = await quietNoise();
  const random = seededRandom(500);
  const verdicts = repeatRuns(250, () => simulateRun(10, { same: 1, delayed: 1.1 }, () => redraw(noise, random)));
  const found = verdicts.delayed!.filter((verdict) => verdict === 'slower').length;
  assert.ok(found / verdicts.delayed!.length >= 0.8, `${found} of ${verdicts.delayed!.length}`);
});

function assertCovers(truth: number, draw: () => Interval | undefined): void {
  let covered = 0;
  for (let trial = 0; trial < trials; trial++) {
    const { low, high } = draw()!;
    if (low <= truth && truth <= high) covered++;
  }
  assert.ok(covered >= 0.93 * trials && covered <= 0.97 * trials, `${covered} of ${trials}`);
}

/** A run of four workloads in a mode `reference` and in others, each with its factor. */
function simulateRun(rounds: number, modes: Readonly<Record<string, number>>, factor: () => number) {
  const workloads = ['python', 'gcc', 'postgres', 'tomcat'];
  const all = { reference: 1, ...modes };
  const samples = Array.from({ length: rounds }, (_, round) =>
    workloads.flatMap((workload, index) =>
      Object.entries(all).map(([mode, ratio]) =>
        timed(1000 * (index + 1) * ratio * factor(), round + 1, { workload, mode }),
      ),
    ),
  ).flat();
  return summarize(samples, { workloads, modes: Object.keys(all) }, () => 'reference');
}

/** The verdicts of all workloads of so many runs, by mode. */
function repeatRuns(count: number, run: () => ReturnType<typeof simulateRun>) {
  const verdicts: Record<string, (string | undefined)[]> = {};
  for (let time = 0; time < count; time++) {
    for (const { mode, verdict } of run().groups) {
      verdicts[mode] ??= [];
      verdicts[mode].push(verdict);
    }
  }
  return verdicts;
}

function redraw(noise: readonly number[], random: Random): number {
  return noise[randomBelow(noise.length, random)]!;
}

/**
 * How far the lazy starts of the quiet runs lie from the mean of their like, as factors: a deviation from the mean of n is too small by
 * sqrt((n - 1) / n), which is made up for. Starts of the whole image vary less, and are left out.
 */
async function quietNoise(): Promise<number[]> {
  const factors: number[] = [];
  for (const run of quietRuns) {
    const samples = (await readSamples(join(published, run))).filter(
      ({ ok, mode }) => ok && !mode.startsWith('legacy'),
    );
    const alike = Map.groupBy(samples, (one) =>
      [one.workload, one.mode, one.daemonState, one.rttMs, one.bandwidthMbps].join(),
    );
    for (const group of alike.values()) {
      const logs = group.map(({ totalMs }) => Math.log(totalMs!));
      const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
      if (logs.length < 2) continue;
      factors.push(...logs.map((log) => Math.exp((log - mean) * Math.sqrt(logs.length / (logs.length - 1)))));
    }
  }
  assert.ok(factors.length >= 50, `${factors.length} published samples`);
  return factors;
}
