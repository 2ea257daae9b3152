import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('testing/interrupted-run.ts', import.meta.url));

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${name}, repeated during clean-up: the run cleans up, keeps whole rows and exits with 130`, {
    timeout: 30_000,
  }, async (t) => {
    const outDir = await mkdtemp(join(tmpdir(), 'stargz-bench-interrupt-'));
    t.after(() => rm(outDir, { recursive: true, force: true }));
    const child = spawn(process.execPath, [program, outDir], { stdio: 'pipe' });
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
