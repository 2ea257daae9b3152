import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { type Random, seededRandom } from '../measurements/stats/random.ts';

/**
 * The seed of everything that is random in tests: $SEED, or a new one for each process. A failing property prints it, with
 * fast-check's path; a test that calls `randomOf` always prints it.
 */
export const seed = readSeed(process.env.SEED) ?? (Math.random() * 2 ** 31) >>> 0;

/** Below the limits of tests: shrinking a failure may take hours, and a test that is cancelled does not say what failed. */
const propertyLimitMs = 50_000;

fc.configureGlobal({
  ...fc.readConfigureGlobal(),
  seed,
  interruptAfterTimeLimit: propertyLimitMs,
  markInterruptAsFailure: true,
});
/** fast-check, configured with the seed and the limit. */
export { fc };

/** A generator for one test. */
export function randomOf(t: TestContext): Random {
  t.diagnostic(`SEED=${seed} repeats this run`);
  return seededRandom(seed);
}

/** Incompressible bytes, the same for a number on every machine. */
export function pseudoRandomBytes(sizeBytes: number, number: number): Buffer {
  const words = Uint32Array.from({ length: Math.ceil(sizeBytes / 4) }, seededRandom(number));
  return Buffer.from(words.buffer, 0, sizeBytes);
}

function readSeed(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d+$/.test(text)) throw new Error(`SEED is ${JSON.stringify(text)}, not a whole number`);
  return Number(text);
}
