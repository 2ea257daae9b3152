import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBenchOptions } from '../../bench/options.ts';
import { planOf } from './plan.ts';

const runner = { GITHUB_EVENT_NAME: 'schedule', GITHUB_REF: 'refs/heads/main', GITHUB_RUN_ID: '17179869187' };

test('the weekly run measures the default workloads in shards of one plan, and is published', () => {
  const plan = planOf({ ...runner, WORKLOADS: '', SAMPLES: '' });
  assert.deepEqual(plan, {
    arguments: ['--workloads', '@default', '--samples', '10', '--timeline', '--seed', '3'],
    shards: ['1/2', '2/2'],
    registry: undefined,
    isPublished: true,
    base: undefined,
  });
});

test('inputs replace what is usual; another branch is not published', () => {
  const inputs = { WORKLOADS: 'r*', MODES: 'estargz', SAMPLES: '3', RTT: '0ms,10ms', BANDWIDTH: '1gbit', SHARDS: '3' };
  const plan = planOf({ ...runner, GITHUB_EVENT_NAME: 'workflow_dispatch', GITHUB_REF: 'refs/heads/x', ...inputs });
  assert.deepEqual(plan.arguments.slice(0, 10), [
    ...['--workloads', 'r*'],
    ...['--modes', 'estargz'],
    ...['--samples', '3'],
    ...['--rtt', '0ms,10ms'],
    ...['--bandwidth', '1gbit'],
  ]);
  assert.deepEqual(plan.shards, ['1/3', '2/3', '3/3']);
  assert.equal(plan.isPublished, false);
});

test('starts are traced weekly, and on request unless it says no; a pull request has no time for it', () => {
  const isTraced = (event: string, timeline: string) =>
    parseBenchOptions(planOf({ ...runner, GITHUB_EVENT_NAME: event, TIMELINE: timeline }).arguments).timeline;
  assert.equal(isTraced('schedule', ''), true);
  assert.equal(isTraced('workflow_dispatch', 'true'), true);
  assert.equal(isTraced('workflow_dispatch', 'false'), false);
  assert.equal(isTraced('pull_request', ''), false);
});

test('images go to a registry only with a login, and never for a pull request', () => {
  const login = { REGISTRY: 'docker.io/bench', REGISTRY_USER: 'bench' };
  assert.ok(planOf({ ...runner, ...login }).arguments.includes('docker.io/bench'));
  assert.equal(planOf({ ...runner, REGISTRY: 'docker.io/bench' }).registry, undefined);
  const request = planOf({ ...runner, ...login, GITHUB_EVENT_NAME: 'pull_request', BASE: 'a1b2c3' });
  assert.equal(request.registry, undefined);
  assert.deepEqual(request.arguments.slice(-2), ['--base', 'a1b2c3']);
  assert.equal(request.isPublished, false);
});

test('a number of shards that cannot be is said', () => {
  assert.throws(() => planOf({ ...runner, SHARDS: '0' }), /SHARDS needs a number from 1 to 20, not '0'/);
});
