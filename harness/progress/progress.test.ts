import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPlan } from '../run/plan.ts';
import { createProgress } from './progress.ts';
import { buildSample } from '../../measurements/sample.ts';
import { formatClock, formatRatio, formatSeconds } from '../../measurements/format.ts';
import { seededRandom } from '../../measurements/stats/random.ts';
import { truncate, visibleLength } from '../cli/terminal.ts';
import { fakeModes, fakeOutcome, fakeOutput, fakeWorkloads } from '../bench/testing/fake-dependencies.ts';
import { TimeLeft } from './time-left.ts';

const link = { rttMs: 30, bandwidthMbps: 200 };
const cells = buildPlan({
  workloads: fakeWorkloads,
  modes: fakeModes,
  links: [link],
  samples: 2,
  random: seededRandom(1),
});
const order = { workloads: fakeWorkloads.map((item) => item.name), modes: fakeModes.map((item) => item.name) };
const sampleOf = (cell: (typeof cells)[number]) =>
  buildSample(
    {
      runId: 'r',
      order: cell.order,
      sample: cell.sample,
      workload: cell.workload.name,
      mode: cell.mode.name,
      rttMs: 30,
      bandwidthMbps: 200,
      startedAt: '',
    },
    fakeOutcome(cell.mode.name),
  );

test('the live display stays within the terminal, and the cursor is shown again at the end', () => {
  const output = fakeOutput(true);
  const progress = createProgress(output, {}, () => 0);
  progress.step('images', `python: ${'a very long step '.repeat(10)}`);
  progress.begin('30 ms RTT', cells, order);
  for (const cell of cells.slice(0, 5)) {
    progress.cellStarted(cell);
    progress.phaseStarted(cell, 'pull');
    progress.cellFinished(cell, sampleOf(cell));
  }
  assert.match(output.text, /5 of 18/);
  progress.end();
  progress.end();
  for (const line of output.text.split('\n')) assert.ok(visibleLength(line) <= 80, line);
  assert.ok(output.text.startsWith('\x1b[?25l'));
  assert.equal(output.text.split('\x1b[?25h').length, 2);
});

test('with more modes than fit beside each other, each has a line, and the current one is among them', () => {
  const modes = Array.from({ length: 20 }, (_, index) => ({ ...fakeModes[1]!, name: `peer-${index}:estargz+again` }));
  const many = buildPlan({ workloads: fakeWorkloads, modes, links: [link], samples: 1, random: seededRandom(1) });
  const output = fakeOutput(true);
  const progress = createProgress(output, {}, () => 0);
  progress.begin('title', many, { workloads: order.workloads, modes: modes.map(({ name }) => name) });
  for (const cell of many) {
    output.text = '';
    progress.cellStarted(cell);
    const lines = output.text.split('\n');
    assert.ok(lines.length <= 24 && lines.every((line) => visibleLength(line) <= 80), output.text);
    assert.ok(
      lines.some((line) => line.startsWith(`${cell.mode.name} `)),
      cell.mode.name,
    );
    progress.cellFinished(cell, sampleOf(cell));
  }
  assert.ok(output.text.split('1.10').length > 30, 'medians of three workloads in each line');
  progress.end();
});

test('a redraw moves up by exactly the lines that were drawn', () => {
  const output = fakeOutput(true);
  const progress = createProgress(output, {}, () => 0);
  progress.begin('title', cells, order);
  const drawn = output.text.split('\n').length - 1;
  output.text = '';
  progress.cellStarted(cells[0]!);
  assert.ok(output.text.startsWith(`\x1b[${drawn}A`), JSON.stringify(output.text.slice(0, 10)));
  progress.end();
});

test('NO_COLOR, CI and a dumb terminal are honoured', () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ESC is what a colour starts with
  const color = /\x1b\[\d+m/;
  const play = (env: Record<string, string>, isTTY = true) => {
    const output = fakeOutput(isTTY);
    const progress = createProgress(output, env, () => 0);
    progress.begin('title', cells, order);
    progress.warn('odd');
    progress.end();
    return output.text;
  };
  assert.match(play({}), color);
  assert.doesNotMatch(play({ NO_COLOR: '1' }), color);
  for (const text of [play({ CI: 'true' }), play({ TERM: 'dumb' }), play({}, false)]) assert.ok(!text.includes('\x1b'));
});

test('a log has one line per cell, each warning once, and few of many quick steps', () => {
  const output = fakeOutput();
  let nowMs = 0;
  const progress = createProgress(output, {}, () => nowMs);
  for (let step = 0; step < 100; step++) progress.step('images', `layer ${step}`);
  progress.begin('title', cells, order);
  for (const cell of cells) {
    progress.cellStarted(cell);
    nowMs += 1000;
    progress.cellFinished(cell, { ...sampleOf(cell), warnings: 'swap in use' });
  }
  progress.end();
  const lines = output.text.trimEnd().split('\n');
  assert.equal(lines.filter((line) => line.includes('layer')).length, 1);
  assert.equal(lines.filter((line) => /\[ ?\d+\/18\]/.test(line)).length, 18);
  assert.equal(lines.filter((line) => line.includes('swap in use')).length, 9, 'once per workload and mode');
  assert.match(output.text, /\[ 1\/18\] \w+ \w+ sample 1: pull 0\.08 \+ create 0\.02 \+ run .* \(0:17 left\)/);
});

test('the remaining time is estimated from similar cells, and unknown before the first', () => {
  let nowMs = 0;
  const ordered = fakeModes.slice(0, 2).flatMap((mode, index) => [
    { order: index + 1, workload: fakeWorkloads[0]!, mode, link, sample: 1 },
    { order: index + 3, workload: fakeWorkloads[0]!, mode, link, sample: 2 },
  ]);
  const plan = ordered.toSorted((one, other) => one.order - other.order);
  const timeLeft = new TimeLeft(plan, () => nowMs);
  const finish = (index: number, durationMs: number) => {
    timeLeft.start(plan[index]!);
    nowMs += durationMs;
    timeLeft.finish(plan[index]!);
  };
  assert.equal(timeLeft.remainingMs(), undefined);
  finish(0, 10_000);
  assert.equal(timeLeft.remainingMs(), 30_000);
  finish(1, 2_000);
  assert.equal(timeLeft.remainingMs(), 12_000);
  timeLeft.start(plan[2]!);
  nowMs += 4_000;
  assert.equal(timeLeft.remainingMs(), 8_000);
  nowMs += 60_000;
  assert.equal(timeLeft.remainingMs(), 2_000, 'a cell that overruns its estimate does not make it negative');
});

test('numbers are rounded to what is significant', () => {
  assert.deepEqual([0, 59_400, 60_000, 3_661_000].map(formatClock), ['0:00', '0:59', '1:00', '1:01:01']);
  assert.deepEqual([84, 1_234, 12_345].map(formatSeconds), ['0.08', '1.23', '12.3']);
  assert.equal(formatSeconds(undefined), '–');
  assert.deepEqual([0.0384, 0.934, 1.04, 7.34, 14.2].map(formatRatio), ['0.038×', '0.93×', '1.04×', '7.3×', '14×']);
  assert.equal(truncate('\x1b[1mabcdef\x1b[22m', 4), '\x1b[1mabc…\x1b[22m');
});
