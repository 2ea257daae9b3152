import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sample } from './measure.ts';
import { renderTable, summarize } from './summary.ts';

const sample = (backend: string, round: number, durationMs: number): Sample => ({
  row: 'sequential',
  condition: 'warm',
  backend,
  round,
  durationMs,
});

test('a ratio is the median of the rounds, each against overlayfs in the same round', () => {
  const samples = [
    ...[100, 200, 400].map((durationMs, round) => sample('overlayfs', round, durationMs)),
    ...[150, 260, 440].map((durationMs, round) => sample('fuse', round, durationMs)),
  ];
  const [plain, fuse] = summarize(samples);
  assert.equal(plain?.ratio, 1);
  assert.equal(plain?.target, undefined);
  assert.equal(fuse?.ratio, 1.3);
  assert.equal(fuse?.median_ms, 260);
  assert.equal(fuse?.target, 2);
  assert.equal(fuse?.met, 'yes');
});

test('what exceeds its target is marked, FUSE with other options held to the same as FUSE', () => {
  const lines = summarize([sample('overlayfs', 1, 100), sample('fuse-1', 1, 201), sample('erofs', 1, 110)]);
  assert.deepEqual(
    lines.map(({ backend, met }) => [backend, met]),
    [
      ['overlayfs', undefined],
      ['erofs', 'yes'],
      ['fuse-1', 'no'],
    ],
  );
  assert.match(renderTable(lines, { headed: true }), /fuse-1 +201\.0 +2\.01 +2\.00 {2}MISSED/);
});

test('a round that overlayfs has no time of gives no ratio', () => {
  assert.deepEqual(summarize([sample('fuse', 1, 100)]), []);
});
