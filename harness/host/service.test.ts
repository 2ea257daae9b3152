import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { HarnessError } from '../cli/error.ts';
import { findProcessesNaming, killProcesses } from './processes.ts';
import { Service } from './service.ts';

async function startShell(
  t: TestContext,
  script: string,
  ...args: string[]
): Promise<{ service: Service; dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'bench-service-'));
  const service = await Service.start({
    name: 'probe',
    command: 'sh',
    args: ['-c', script, 'sh', ...args.map((arg) => arg.replace('DIR', dir))],
    logPath: join(dir, 'log'),
  });
  t.after(async () => {
    await service.stop(0);
    await rm(dir, { recursive: true });
  });
  return { service, dir };
}

test('a program that ends while starting fails with the end of its log', { timeout: 10_000 }, async (t) => {
  const { service } = await startShell(t, 'echo no socket >&2; exit 3');
  const waiting = service.waitUntil(() => Promise.reject(new Error('refused')), 5_000, t.signal);
  await assert.rejects(waiting, {
    name: 'HarnessError',
    code: 'start',
    message: /probe ended while starting: no socket/,
  });
});

test('a program that never answers fails at the limit, and the error names its log', { timeout: 10_000 }, async (t) => {
  const { service } = await startShell(t, 'sleep 30');
  const waiting = service.waitUntil(() => Promise.reject(new Error('refused')), 50, t.signal);
  await assert.rejects(waiting, (error) => error instanceof HarnessError && error.remedy!.includes('log'));
});

test('a program that ignores SIGTERM is killed after the grace period', { timeout: 10_000 }, async (t) => {
  const { service, dir } = await startShell(t, 'trap "" TERM; echo up; while :; do sleep 0.05; done');
  await service.waitUntil(async () => assert.match(await readFile(join(dir, 'log'), 'utf8'), /up/), 5_000, t.signal);
  await service.stop(100);
  assert.equal(service.isRunning, false);
});

test('the cost of a process includes its children; a process that is gone has none', { timeout: 10_000 }, async (t) => {
  const { service } = await startShell(t, 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 30 & wait');
  await service.waitUntil(async () => assert.ok((await service.cost())!.cpuMs >= 10), 5_000, t.signal);
  assert.ok((await service.cost())!.rssPeakKib > 500);
  await service.stop();
  assert.equal(await service.cost(), undefined);
});

test('processes left by a killed run are found by the directory they name, and killed', {
  timeout: 10_000,
}, async (t) => {
  const { service, dir } = await startShell(t, 'sleep 30; :', '--state=DIR/cell/run');
  // Between fork and exec, the shell's child has the shell's command line.
  const onlyIt = async () => assert.deepEqual(await findProcessesNaming(join(dir, 'cell')), [service.pid]);
  await service.waitUntil(onlyIt, 5_000, t.signal);
  assert.deepEqual(await findProcessesNaming(join(dir, 'cel')), []);
  assert.deepEqual(await killProcesses([service.pid]), []);
  assert.deepEqual(await findProcessesNaming(join(dir, 'cell')), []);
});
