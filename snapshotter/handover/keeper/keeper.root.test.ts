import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { until } from '../../../testkit/until.ts';
import { findKeeper } from './keeper.ts';

const fixture = fileURLToPath(new URL('./testing/guard.ts', import.meta.url));
const content = 'guarded bytes\n';

/** Guards `file` in a process that answers as its arguments say: see testing/guard.ts. */
async function startGuard(t: TestContext, ...args: string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [fixture, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  for await (const piece of child.stdout!) {
    said += String(piece);
    if (said.includes('ready\n')) return child;
  }
  throw new Error(`the guard ended early: ${said}`);
}

function startReader(t: TestContext, file: string): Promise<{ text: string; code: number }> {
  const child = spawn('cat', [file], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout.on('data', (piece) => {
    text += String(piece);
  });
  return once(child, 'close').then(([code]) => ({ text, code: code as number }));
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

function prepare(t: TestContext): { root: string; file: string } {
  const root = mkdtempSync(join(tmpdir(), 'keeper-'));
  const file = join(root, 'data');
  writeFileSync(file, content);
  t.after(async () => {
    await (await findKeeper(root))?.keeper.dismiss();
    rmSync(root, { recursive: true, force: true });
  });
  return { root, file };
}

test('a read that waits when the daemon is killed is answered by the next daemon', { timeout: 30_000 }, async (t) => {
  const { root, file } = prepare(t);
  const first = await startGuard(t, root, file, 'found', 'ignore', '30000');
  await kill(first);
  const reader = startReader(t, file);
  assert.equal(await Promise.race([reader.then(() => 'read'), delay(300, 'waits')]), 'waits');
  await startGuard(t, root, file, 'adopt', 'allow', '30000');
  assert.deepEqual(await reader, { text: content, code: 0 });
});

test('a read that the killed daemon had taken but not answered fails with EIO', { timeout: 30_000 }, async (t) => {
  const { root, file } = prepare(t);
  const first = await startGuard(t, root, file, 'found', 'hold', '30000');
  const reader = startReader(t, file);
  await delay(300);
  await kill(first);
  assert.equal(await Promise.race([reader.then(() => 'read'), delay(200, 'waits')]), 'waits');
  await startGuard(t, root, file, 'adopt', 'allow', '30000');
  assert.deepEqual(await reader, { text: '', code: 1 });
  assert.deepEqual(await startReader(t, file), { text: content, code: 0 });
});

test('without a daemon for the grace period reads fail with EIO, and never return other bytes', {
  timeout: 30_000,
}, async (t) => {
  const { root, file } = prepare(t);
  await kill(await startGuard(t, root, file, 'found', 'hold', '100'));
  assert.deepEqual(await startReader(t, file), { text: '', code: 1 });
  assert.deepEqual(await startReader(t, file), { text: '', code: 1 });
  await startGuard(t, root, file, 'adopt', 'allow', '100');
  assert.deepEqual(await startReader(t, file), { text: content, code: 0 });
});

test('connecting to the keeper of a live daemon does not disturb its reads', { timeout: 30_000 }, async (t) => {
  const { root, file } = prepare(t);
  await startGuard(t, root, file, 'found', 'hold', '100');
  const held = startReader(t, file);
  await keeperPid(root);
  assert.equal(await Promise.race([held.then(() => 'ended'), delay(500, 'waits')]), 'waits');
});

test('with CAP_SYS_RESOURCE a keeper is exempt from the OOM killer', {
  timeout: 30_000,
}, async (t) => {
  const { root, file } = prepare(t);
  await startGuard(t, root, file, 'found', 'ignore', '30000');
  const found = await findKeeper(root);
  for (const fd of Object.values(found!.held)) if (fd !== undefined) closeSync(fd);
  const mayLower = (BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`) >> 24n) & 1n;
  const expected = mayLower === 1n ? '-1000\n' : readFileSync('/proc/self/oom_score_adj', 'utf8');
  assert.equal(readFileSync(`/proc/${found!.keeper.pid}/oom_score_adj`, 'utf8'), expected);
  found!.keeper.release();
});

test('a keeper reports only the descriptors that it was given', { timeout: 30_000 }, async (t) => {
  const { root, file } = prepare(t);
  await startGuard(t, root, file, 'found', 'ignore', '30000');
  const { keeper, held } = (await findKeeper(root))!;
  closeSync(held.groupFd!);
  keeper.release();
  assert.equal(held.fuseFd, undefined);
});

test('a keeper without a daemon exits once nothing is mounted', { timeout: 30_000 }, async (t) => {
  const { root, file } = prepare(t);
  await kill(await startGuard(t, root, file, 'unused', 'ignore', '100'));
  // It removes its socket when it exits.
  await until('the keeper leaves', () => !existsSync(join(root, 'keeper.sock')), { limitMs: 20_000 });
});

test('a keeper that is killed with messages unread counts as gone, not as a failure', {
  timeout: 30_000,
}, async (t) => {
  const { root, file } = prepare(t);
  await startGuard(t, root, file, 'found', 'ignore', '30000');
  const { keeper, held } = (await findKeeper(root))!;
  for (const fd of Object.values(held)) if (fd !== undefined) closeSync(fd);
  process.kill(keeper.pid, 'SIGSTOP');
  keeper.guard(['erofs,1']);
  const { gone } = keeper;
  process.kill(keeper.pid, 'SIGKILL');
  await gone;
});

test('a keeper that was replaced unnoticed does not remove the socket of its successor', {
  timeout: 30_000,
}, async (t) => {
  const { root, file } = prepare(t);
  const first = await startGuard(t, root, file, 'unused', 'ignore', '100');
  const pid = await keeperPid(root);
  await startGuard(t, root, file, 'found', 'allow', '30000');
  await kill(first);
  await until('the first keeper leaves', () => !existsSync(`/proc/${pid}`), { limitMs: 20_000 });
  assert.notEqual(await keeperPid(root), pid);
});

async function keeperPid(root: string): Promise<number> {
  const { keeper, held } = (await findKeeper(root))!;
  closeSync(held.groupFd!);
  keeper.release();
  return keeper.pid;
}

test('a stopped keeper prevents the start of a daemon with an error, not by hanging', {
  timeout: 30_000,
}, async (t) => {
  const { root, file } = prepare(t);
  await kill(await startGuard(t, root, file, 'found', 'ignore', '30000'));
  const found = await findKeeper(root);
  const { pid } = found!.keeper;
  for (const fd of Object.values(found!.held)) if (fd !== undefined) closeSync(fd);
  process.kill(pid, 'SIGSTOP');
  t.after(() => existsSync(`/proc/${pid}`) && process.kill(pid, 'SIGKILL'));
  await assert.rejects(findKeeper(root), { message: /keeper.*does not answer; continue it .* or end it/ });
  // Dismissing a stopped keeper ends after a limit as well.
  await found!.keeper.dismiss();
  process.kill(pid, 'SIGCONT');
});
