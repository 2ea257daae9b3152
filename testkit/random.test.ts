import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { pseudoRandomBytes } from './random.ts';

const limit = { timeout: 30_000 };
const run = promisify(execFile);
const program = join(import.meta.dirname, 'testing/draw.ts');

async function draw(seed: string): Promise<string> {
  const { stdout } = await run(process.execPath, [program], {
    env: { ...process.env, SEED: seed },
  });
  return stdout;
}

test('the seed of the environment repeats what properties draw, and what fails names it', limit, async () => {
  const [first, again, other] = await Promise.all([draw('7'), draw('7'), draw('8')]);
  assert.equal(first, again);
  assert.notEqual(first, other);
  assert.match(first, /seed: 7\b/);
});

test('a seed that is no whole number is refused', limit, async () => {
  await assert.rejects(draw('seven'), /SEED is "seven", not a whole number/);
});

test('pseudo-random bytes are incompressible, and repeat with their number', limit, () => {
  assert.deepEqual(pseudoRandomBytes(5, 1), pseudoRandomBytes(8, 1).subarray(0, 5));
  assert.notDeepEqual(pseudoRandomBytes(8, 1), pseudoRandomBytes(8, 2));
  assert.equal(new Set(pseudoRandomBytes(65_536, 1)).size, 256);
});
