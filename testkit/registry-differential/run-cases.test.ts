import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faults } from '../registry-simulator/faults.ts';
import { Forecast } from '../registry-simulator/weather.ts';
import { type Case, caseNamed, casesOf, mustSucceed, nameOf, sample, subjects } from './cases.ts';
import type { Verdict } from './run-case.ts';
import { runCases } from './run-cases.ts';

const limit = { timeout: 300_000 };

/** Cases that failed before. */
const found = [
  // A response without a manifest was accepted.
  'client/mirrored/204-empty',
  'client/mirrored/304-unasked',
  'client/mirrored/200-empty',
  'client/mirrored/manifest-html',
  // Wrong bytes from a mirror were taken for an ordinary or a damaged layer.
  'layer/mirrored/200-empty',
  'converter/mirrored/damages-blobs',
  'converter/mirrored/gzips-blobs',
  'client/mirrored/gzips-blobs',
  // An endless loop over a useless mirror while the registry fails.
  'client/mirrored/200-empty+token-redirect-elsewhere',
  // The suffix failed differently at each server, though plain ranges would have worked.
  'client/mirrored/range-multipart-garbage+suffix-500',
  'layer/mirrored/range-unlabelled+suffix-403',
  'layer/mirrored/gzips-blobs+suffix-500',
  // The registry was not retried, since a useless mirror seemed to stand in for it.
  'layer/mirrored/range-416+reset-twice',
  // The end of a shortened suffix without a total was taken for the end of the blob.
  'layer/alone/range-total-hidden+range-short',
  // A whole blob of unknown size that broke off was not asked for again.
  'layer/alone/range-whole-chunked+stall-once',
  // Many requests to the only server that responds, though its bytes had been wrong before.
  'layer/mirrored/500-always+damages-blobs',
  'layer/mirrored/500-always+range-total-wrong',
  // A whole body without a length that breaks off.
  'client/alone/chunked+cut-late',
  'converter/alone/chunked+cut-late',
  'client/alone/ends-with-connection+cut-late',
  'client/alone/ends-with-connection+cut-once',
  // The registry refuses suffixes, so the mirror's empty or damaged blob came back.
  'client/mirrored/200-empty+suffix-403',
  'client/mirrored/200-empty+suffix-500',
  'client/mirrored/damages-blobs+suffix-403',
  'client/mirrored/damages-blobs+suffix-500',
  // Both rename the token.
  'client/alone/token-empty-beside-access-token+token-null-beside-access-token',
];

test('cases that failed once pass', limit, async () => {
  assert.deepEqual(await complaintsOf(found.map(caseNamed)), []);
});

test('random pairs of faults end in the right bytes or a clear error, bounded and without a leak', limit, async (t) => {
  // Fixed by default: `npm run differential:registries` is the search, this the guard.
  const seed = Number(process.env.SEED ?? 1);
  t.diagnostic(`SEED=${seed}; each case: npm run differential:registries -- --only NAME`);
  const forecast = new Forecast(seed);
  const drawn = subjects.flatMap((subject) =>
    // It waits for every retry to time out.
    sample(
      casesOf(subject).filter((one) => !nameOf(one).includes('hang-always')),
      12,
      () => forecast.share(),
    ),
  );
  assert.deepEqual(await complaintsOf(drawn), []);
});

test('every fault has an effect on a subject, which gets over it or reports it clearly', limit, async () => {
  const all = subjects.flatMap((subject) => casesOf(subject));
  const alone = faults
    .filter(({ name }) => name !== 'hang-always')
    .map(({ name }) =>
      all.find(({ first, second, layout }) => first.name === name && second === undefined && layout === 'alone'),
    );
  assert.deepEqual(await complaintsOf(alone.map((one) => one!)), []);
});

test('every fault occurs alone in some case, under a unique name', () => {
  const alone = new Set(
    subjects.flatMap((subject) => casesOf(subject)).map(({ first, second }) => second === undefined && first.name),
  );
  assert.deepEqual(
    faults.filter(({ name }) => !alone.has(name)),
    [],
  );
  assert.equal(new Set(faults.map(({ name }) => name)).size, faults.length, 'two faults have one name');
});

test('success is due if only a mirror is at fault, or if both faults are harmless', () => {
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
