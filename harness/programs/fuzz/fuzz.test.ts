import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../../measurements/stats/random.ts';
import { discoverTargets } from './discover.ts';
import { fuzz } from './engine.ts';
import { maxInputBytes, mutate } from './mutate.ts';
import { runTarget } from './run-target.ts';

const limit = { timeout: 60_000 };

test('a planted defect is found and reported once, with an input that triggers it', limit, () => {
  const finds: { input: Uint8Array; error: unknown }[] = [];
  const counts = fuzz({
    target: {
      name: 'planted',
      seeds: [Buffer.from('abc 100')],
      run(input) {
        if (input.includes('4294967296')) throw new Error('planted');
      },
    },
    seed: 1,
    durationMs: 5000,
    nowMs: () => performance.now(),
    begin: () => {},
    find: (input, error) => finds.push({ input, error }),
  });
  assert.equal(finds.length, 1);
  assert.ok(Buffer.from(finds[0]!.input).includes('4294967296'));
  assert.deepEqual([counts.finds, counts.executions > 100], [1, true]);
});

test('the same seed gives the same mutations, within the size limit', limit, () => {
  const inputs = (): string[] => {
    const random = seededRandom(7);
    return Array.from({ length: 500 }, () => {
      const input = mutate(Buffer.from('seed 12'), Buffer.alloc(maxInputBytes, 'x'), ['word'], random);
      assert.ok(input.length <= maxInputBytes);
      return input.toString('hex');
    });
  };
  assert.deepEqual(inputs(), inputs());
  assert.ok(new Set(inputs()).size > 400);
});

test('every target accepts its own seeds', limit, async () => {
  const found = await discoverTargets();
  const names = found.map(({ target }) => target.name);
  assert.equal(new Set(names).size, names.length);
  for (const wanted of ['footer', 'toc', 'tar', 'pax', 'presence-bitmap', 'slot-book', 'config', 'credential-file'])
    assert.ok(names.includes(wanted), wanted);
  assert.ok(names.includes('auth-challenge') && names.includes('fuse-request'));
  for (const { target } of found) for (const seed of target.seeds) target.run(Buffer.from(seed));
});

test('a short run of every target in its worker finds nothing', { timeout: 300_000 }, async (t) => {
  const seed = 1;
  t.diagnostic(`seed ${seed}`);
  for (const { target } of await discoverTargets()) {
    const request = { name: target.name, seed, durationMs: 300 };
    const { counts, finds } = await runTarget(request, t.signal);
    const described = finds.map(({ input, error }) => `${Buffer.from(input).toString('base64')}\n${error}`);
    assert.deepEqual(described, [], target.name);
    assert.ok(counts.executions > 0 && counts.features > 0 && counts.corpus > 1, JSON.stringify(counts));
  }
});
