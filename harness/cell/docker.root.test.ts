import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readdir } from 'node:fs/promises';
import { firstRuns, withSecondRuns } from './modes/catalogue.ts';
import {
  assertNothingLeft as assertNoneLeft,
  type CellBed,
  cell,
  openCellBed,
  timeout,
  tiny,
} from './testing/cell-bed.ts';
import type { Mode } from '../run/mode.ts';

const [docker, again, shared] = withSecondRuns(firstRuns.find(({ name }) => name === 'docker')!) as [Mode, Mode, Mode];

let bed: CellBed;

before(async () => {
  bed = await openCellBed();
});

after(async () => {
  await bed?.[Symbol.asyncDispose]();
});

const assertNothingLeft = () => assertNoneLeft(bed.stateDir);
const measure = (mode: Mode, workload = tiny) =>
  bed.executor.execute(cell(mode, workload), () => {}, AbortSignal.timeout(timeout));

test('Docker Engine pulls and runs, is measured, and leaves nothing on the machine', { timeout }, async () => {
  const before = await Promise.all(['/etc/docker', '/run', '/var/lib'].map((path) => readdir(path).catch(() => [])));
  const outcome = await measure(docker);
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.error);
  for (const durationMs of [outcome.pullMs, outcome.createMs, outcome.runMs]) assert.ok(durationMs > 0);
  assert.deepEqual([outcome.layers, outcome.lazyLayers], [2, 0]);
  assert.deepEqual([outcome.snapshotter, outcome.mount], ['overlay2', 'overlay2']);
  assert.ok(outcome.imageBytes! > 100_000 && outcome.wireBytes! > outcome.imageBytes!);
  const { wireRequests, daemonRssPeakKib, daemonCpuMs } = outcome;
  assert.ok(daemonRssPeakKib! > 10_000 && daemonCpuMs! > 0, JSON.stringify(outcome));
  // It tries TLS first, even on loopback, and what is not HTTP cannot be counted.
  assert.equal(wireRequests, undefined);
  assert.deepEqual(outcome.warnings, []);
  await assertNothingLeft();
  const after = await Promise.all(['/etc/docker', '/run', '/var/lib'].map((path) => readdir(path).catch(() => [])));
  assert.deepEqual(after, before);
});

test('a second run in Docker Engine finds the layers that are there', { timeout }, async () => {
  const outcomes = [await measure(docker), await measure(shared), await measure(again)];
  for (const outcome of outcomes) assert.ok(outcome.ok, outcome.ok ? '' : outcome.error);
  const [once, afterOther, twice] = outcomes.map(({ wireBytes }) => wireBytes!) as [number, number, number];
  assert.ok(once > 100_000 && afterOther < 20_000 && twice < 20_000, `${once}, ${afterOther}, ${twice}`);
  await assertNothingLeft();
});

test('a container of Docker Engine reads its input, prints lines, and fails as any other does', {
  timeout,
}, async () => {
  const script = { ...tiny, command: ['sh'], stdin: 'echo one; echo ready; exec sleep 60\n' };
  const line = await measure(docker, { ...script, ready: { kind: 'line', pattern: /^ready$/ } });
  assert.ok(line.ok, line.ok ? '' : line.error);
  const early = await measure(docker, {
    ...script,
    stdin: 'echo no >&2; exit 3\n',
    ready: { kind: 'line', pattern: /ready/ },
  });
  assert.ok(!early.ok && /tiny ended with status 3 before it was ready: no/.test(early.error));
  const late = await measure(docker, { ...script, timeoutMs: 1500, ready: { kind: 'line', pattern: /never/ } });
  assert.ok(!late.ok && /was not ready after 1.5 s: one | ready/.test(late.error));
  await assertNothingLeft();
});

test('an image that is not there is an error row', { timeout }, async () => {
  const absent = bed.openCells({ imageOf: () => 'tiny:absent' });
  const outcome = await absent.execute(cell(docker), () => {}, AbortSignal.timeout(timeout));
  assert.ok(
    !outcome.ok && /docker pull .*tiny:absent: .*not found|manifest unknown/.test(outcome.error),
    outcome.ok ? '' : outcome.error,
  );
  await assertNothingLeft();
});
