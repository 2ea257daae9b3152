import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRun } from '../run/run.ts';
import {
  type SyntheticPlan,
  syntheticEnvironment,
  syntheticSamples,
  usualLinks,
  usualModes,
} from '../testing/synthetic-run.ts';
import { findTrend } from './trend.ts';

const plan: SyntheticPlan = { workloads: ['gcc'], modes: usualModes, links: usualLinks, samples: 6 };
const makeRun = (commit: string, changed: Partial<SyntheticPlan> = {}, dirty = false) => {
  const own = { ...plan, commit: commit.repeat(40), startedAt: `2026-01-0${commit}T00:00:00.000Z`, ...changed };
  return readRun(syntheticSamples(own), { ...syntheticEnvironment(own), dirty });
};

test('a trend is of clean commits that were compared with legacy, the earliest first', () => {
  const commits = findTrend([makeRun('2'), makeRun('1'), makeRun('3', {}, true)])?.points.map(({ commit }) => commit);
  assert.deepEqual([...new Set(commits)], ['1111111', '2222222']);
});

test('one commit is no trend, nor beside another without legacy or over another link', () => {
  assert.equal(findTrend([]), undefined);
  assert.equal(findTrend([makeRun('1')]), undefined);
  assert.equal(findTrend([makeRun('1'), makeRun('2', { modes: ['estargz', 'base:estargz'] })]), undefined);
  assert.equal(findTrend([makeRun('1'), makeRun('2', { links: [{ rttMs: 1, bandwidthMbps: 10 }] })]), undefined);
});
