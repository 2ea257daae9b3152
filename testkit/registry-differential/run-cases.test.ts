import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faults } from '../registry-simulator/faults.ts';
import { Forecast } from '../registry-simulator/weather.ts';
import { type Case, caseNamed, casesOf, mustSucceed, nameOf, sample, subjects } from './cases.ts';
import type { Verdict } from './run-case.ts';
import { runCases } from './run-cases.ts';

const limit = { timeout: 300_000 };

/** What this found wrong once. */
const found = [
  // Answers that are no manifest, taken for one.
  'client/mirrored/204-empty',
  'client/mirrored/304-unasked',
  'client/mirrored/200-empty',
  'client/mirrored/manifest-html',
  // Wrong bytes from a mirror, read as an ordinary layer, or as a layer that is damaged.
  'layer/mirrored/200-empty',
  'converter/mirrored/damages-blobs',
  'converter/mirrored/gzips-blobs',
  'client/mirrored/gzips-blobs',
  // Asked for ever: a mirror of no use behind which the registry fails.
  'client/mirrored/200-empty+token-redirect-elsewhere',
  // A suffix that each refused in its own way, though both have plain ranges.
  'client/mirrored/range-multipart-garbage+suffix-500',
  'layer/mirrored/range-unlabelled+suffix-403',
  'layer/mirrored/gzips-blobs+suffix-500',
  // Not retried, because a mirror of no use could have stood in.
  'layer/mirrored/range-416+reset-twice',
  // Asked again and again of the one server that answers, though its bytes were wrong before.
  'layer/mirrored/500-always+damages-blobs',
  'layer/mirrored/500-always+range-total-wrong',
];

test('cases that were answered wrongly once are answered rightly', limit, async () => {
  assert.deepEqual(await complaintsOf(found.map(caseNamed)), []);
});

test('pairs of faults end in the right bytes or a clear error, bounded, and without a leak', limit, async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
  t.diagnostic(`SEED=${seed}; each case: npm run differential:registries -- --only NAME`);
  const forecast = new Forecast(seed);
  const drawn = subjects.flatMap((subject) =>
    // That one waits for all its retries to run into the time limit.
    sample(
      casesOf(subject).filter((one) => !nameOf(one).includes('hang-always')),
      30,
      () => forecast.share(),
    ),
  );
  assert.deepEqual(await complaintsOf(drawn), []);
});

test('every fault is met alone, by those whose requests it is on', () => {
  const alone = new Set(
    subjects.flatMap((subject) => casesOf(subject)).map(({ first, second }) => second === undefined && first.name),
  );
  assert.deepEqual(
    faults.filter(({ name }) => !alone.has(name)),
    [],
  );
  assert.equal(new Set(faults.map(({ name }) => name)).size, faults.length, 'two faults have one name');
});

test('success is due where a mirror alone is at fault, and where both faults are harmless', () => {
  const due = (name: string): boolean => mustSucceed(caseNamed(name));
  assert.equal(due('client/mirrored/reset-always'), true);
  assert.equal(due('client/alone/reset-always'), false);
  assert.equal(due('client/alone/429-twice+chunked'), true);
  assert.equal(due('client/mirrored/reset-always+hang-once'), true);
  assert.equal(due('client/mirrored/chunked+reset-always'), false);
});

async function complaintsOf(cases: readonly Case[]): Promise<Pick<Verdict, 'name' | 'complaints' | 'message'>[]> {
  const faulty: Pick<Verdict, 'name' | 'complaints' | 'message'>[] = [];
  await runCases(cases, AbortSignal.timeout(limit.timeout), ({ name, complaints, message }) => {
    if (complaints.length > 0) faulty.push({ name, complaints, message });
  });
  return faulty;
}
