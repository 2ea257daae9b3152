import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HarnessError } from '../cli/error.ts';
import type { ExecutorRequest } from './dependencies.ts';
import { fakeTrace, quickCell } from './testing/fake-dependencies.ts';
import { start } from './testing/start-command.ts';

const limit = { timeout: 30_000 };

test('a run over another registry has no link unless one is asked for, and says which registry', limit, async (t) => {
  const requests: ExecutorRequest[] = [];
  const open = async (args: readonly string[]) => {
    const openExecutor = async (request: ExecutorRequest) => {
      requests.push(request);
      throw new HarnessError('rate-limited', 'docker.io: 0 of 100 manifest pulls left; this needs 3');
    };
    const run = await start(t, args, quickCell, { dependencies: { openExecutor } });
    assert.equal(run.exitCode, 1);
    assert.match(run.stderr, /stargz-bench: docker\.io: 0 of 100 manifest pulls left; this needs 3\n$/);
  };
  await open(['--registry', 'docker.io/me']);
  await open(['--registry', 'docker.io/me', '--rtt', '10ms']);
  await open([]);
  assert.deepEqual(
    requests.map(({ links, images }) => [links, images.remote?.name]),
    [
      [[undefined], 'docker.io/me'],
      [[{ rttMs: 10, bandwidthMbps: 200 }], 'docker.io/me'],
      [[{ rttMs: 30, bandwidthMbps: 200 }], undefined],
    ],
  );
  const dry = await start(t, ['--registry', 'ghcr.io/me', '--dry-run'], quickCell);
  assert.match(dry.stdout, /^link +ghcr\.io\/me$/m);
});

test('what a registry allowed before and after is in the record', limit, async (t) => {
  const limits = (remaining: number) => ({ connection: { limits: [{ registry: 'docker.io', remaining }] } });
  const executor = { execute: quickCell, trace: fakeTrace, close: async () => {} };
  const opened = { executor, record: { registry: { name: 'docker.io/me' } }, conditions: limits(9) };
  const openExecutor = async () => ({ ...opened, conditionsAtEnd: async () => limits(3) });
  const run = await start(t, ['--registry', 'docker.io/me', '--samples', '1'], quickCell, {
    dependencies: { openExecutor },
  });
  assert.equal(run.exitCode, 0, run.stderr);
  const { link, details } = JSON.parse(await run.read('environment.json'));
  assert.equal(link, null);
  assert.deepEqual(details.links, [null]);
  assert.deepEqual(details.registry, { name: 'docker.io/me' });
  assert.deepEqual(details.connection, limits(3).connection);
  assert.equal((await run.samples())[0]!.rtt_ms, '');
  assert.match(run.stdout, /no emulated link/);
});
