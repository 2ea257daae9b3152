import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { preflight } from './preflight.ts';

test('a suitable machine passes, and the state directory is created', { timeout: 20_000 }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'bench-preflight-'));
  t.after(() => rm(dir, { recursive: true }));
  await preflight({ stateDir: join(dir, 'a', 'b'), freeBytes: 1 });
  assert.ok((await stat(join(dir, 'a', 'b'))).isDirectory());
});

test('too little free disk space is an error before anything starts, and names --state-dir', {
  timeout: 20_000,
}, async () => {
  const checking = preflight({ stateDir: tmpdir(), freeBytes: 2 ** 60 });
  await assert.rejects(checking, { code: 'disk-full', remedy: /--state-dir/ });
});

test('a state directory that cannot be created is a usage error', { timeout: 20_000 }, async () => {
  await assert.rejects(preflight({ stateDir: '/proc/bench', freeBytes: 0 }), { code: 'usage', remedy: /--state-dir/ });
});
