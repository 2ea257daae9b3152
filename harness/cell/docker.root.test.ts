import assert from 'node:assert/strict';
import { test } from 'node:test';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProcessesInCgroup } from '../host/processes.ts';
import { startDockerEngine } from './docker-engine.ts';
import { firstRuns, withSecondRuns } from './modes/catalogue.ts';
import { clearSandbox, openSandbox } from './sandbox.ts';
import { cell, timeout, tiny, useCellBed } from './testing/cell-bed.ts';
import type { Mode } from '../run/mode.ts';

const [docker, again, shared] = withSecondRuns(firstRuns.find(({ name }) => name === 'docker')!) as [Mode, Mode, Mode];

const fixture = useCellBed();

const { assertNothingLeft, measure } = fixture;

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

test('a container of Docker Engine is polled in its own network, and has a copy of its sources', {
  timeout,
}, async (t) => {
  const source = await mkdtemp(join(tmpdir(), 'bench-docker-sources-'));
  t.after(() => rm(source, { recursive: true }));
  await writeFile(join(source, 'page'), 'hello\n');
  const command = ['sh', '-c', 'cd /www; echo made > made; exec busybox httpd -f -p 80 -h /www'];
  const served = { ...tiny, command, mounts: [{ source, target: '/www' }] };
  const outcome = await measure(docker, {
    ...served,
    ready: { kind: 'http', port: 80, path: '/page', body: 'hello\n' },
  });
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.error);
  assert.deepEqual(await readdir(source), ['page']);
  const early = { ...served, command: ['sh', '-c', 'echo no >&2; exit 3'], ready: { kind: 'port', port: 80 } } as const;
  const ended = await measure(docker, early);
  assert.ok(!ended.ok && /tiny ended with status 3 before it was ready: no/.test(ended.error));
  await assertNothingLeft();
});

test('an image that is not there is an error row', { timeout }, async () => {
  const absent = fixture.bed.openCells({ imageOf: () => 'tiny:absent' });
  const outcome = await absent.execute(cell(docker), () => {}, AbortSignal.timeout(timeout));
  assert.ok(
    !outcome.ok && /docker pull .*tiny:absent: .*not found|manifest unknown/.test(outcome.error),
    outcome.ok ? '' : outcome.error,
  );
  await assertNothingLeft();
});

test('an abort while Docker Engine pulls or runs rejects with its reason and leaves nothing', { timeout }, async () => {
  const sleeper = { ...tiny, command: ['sh', '-c', 'exec sleep 60'] };
  for (const phase of ['start', 'pull', 'run'] as const) {
    const controller = new AbortController();
    const reason = new Error(`interrupted in ${phase}`);
    const running = fixture.bed.executor.execute(
      cell(docker, sleeper),
      (now) => {
        if (now === phase) setTimeout(() => controller.abort(reason), 30);
      },
      controller.signal,
    );
    await assert.rejects(running, reason);
    await assertNothingLeft();
  }
});

test('what a killed run left of Docker Engine is removed, its containers too', { timeout }, async (t) => {
  // All but the key that it writes outside of its directory, which no run can tell from another engine's.
  const keyPath = '/etc/docker/key.json';
  if (!existsSync(keyPath)) t.after(() => rm(keyPath, { force: true }));
  const sandbox = openSandbox(fixture.bed.stateDir);
  await clearSandbox(sandbox);
  const signal = AbortSignal.timeout(timeout);
  const engine = await startDockerEngine(sandbox, { registry: { registryAddress: fixture.bed.link.address } }, signal);
  const image = `${fixture.bed.link.address}/tiny:legacy`;
  const ready = { kind: 'line', pattern: /hello/ } as const;
  const container = await engine.prepareContainer({
    ...tiny,
    command: ['sh', '-c', 'cat /greeting; exec sleep 60'],
    ready,
  });
  await engine.pull(image, signal);
  await container.create(image, signal);
  await container.runUntilReady(signal);
  assert.equal((await findProcessesInCgroup(sandbox.idPrefix)).length, 1);
  // As after a SIGKILL of this process, nothing is stopped.
  await clearSandbox(sandbox);
  await assertNothingLeft();
});
