import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

/** A run of the real command in a process of its own, whose cells take a second and whose clean-up takes half of one. */
const program = (outDir: string) => `
  const { runCommand } = await import(${JSON.stringify(new URL('command.ts', import.meta.url).href)});
  const { fakeDependencies, quickCell } = await import(${JSON.stringify(new URL('testing/fake-dependencies.ts', import.meta.url).href)});
  const { watchInterrupts } = await import(${JSON.stringify(new URL('../cli/interrupt.ts', import.meta.url).href)});
  const { setTimeout: sleep } = await import('node:timers/promises');
  const interrupts = watchInterrupts();
  const output = { write: (text) => process.stderr.write(text), columns: 80, isTTY: false };
  let count = 0;
  const dependencies = fakeDependencies(async (cell, onPhase, signal) => {
    if (++count <= 2) return await quickCell(cell, onPhase, signal);
    console.log('third cell');
    await sleep(60_000, undefined, { signal }).catch(() => {});
    await sleep(500);
    console.log('cleaned up');
    signal.throwIfAborted();
  });
  const argv = ['--out', ${JSON.stringify(outDir)}, '--state-dir', ${JSON.stringify(`${outDir}/state`)}];
  const around = { stdout: output, stderr: output, env: {}, signal: interrupts.signal, now: () => performance.now() };
  process.exitCode = await runCommand(argv, dependencies, around);
  interrupts.stop();
`;

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${name}, and again during clean-up: cleans up, keeps whole rows, exits 130`, { timeout: 30_000 }, async (t) => {
    const outDir = await mkdtemp(join(tmpdir(), 'stargz-bench-interrupt-'));
    t.after(() => rm(outDir, { recursive: true, force: true }));
    const child = spawn(process.execPath, ['--input-type=module', '-e', program(outDir)], { stdio: 'pipe' });
    t.after(() => child.kill('SIGKILL'));
    const ended = once(child, 'exit');
    const output = await outputUntil(child, 'third cell');
    child.kill(name);
    setTimeout(() => child.kill(name), 100);
    setTimeout(() => child.kill(name), 200);
    const [exitCode] = await ended;
    assert.equal(exitCode, 130, output.text);
    assert.match(output.text, /cleaned up/);
    const [runId = ''] = await readdir(join(outDir, 'bench'));
    const csv = await readFile(join(outDir, 'bench', runId, 'samples.csv'), 'utf8');
    assert.equal(csv.trimEnd().split('\n').length, 3, 'a heading and two rows');
    assert.ok(csv.endsWith('\n'));
  });
}

async function outputUntil(child: ChildProcess, words: string): Promise<{ text: string }> {
  const output = { text: '' };
  const seen = Promise.withResolvers<void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes) => {
      output.text += bytes;
      if (output.text.includes(words)) seen.resolve();
    });
  }
  child.once('exit', () => seen.reject(new Error(`ended early: ${output.text}`)));
  await seen.promise;
  return output;
}
