import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdtempSync, openSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { allocatePresence, markPresent } from './presence.ts';
import { PresenceFile } from './presence-file.ts';

test('a checkpoint that failed is made up for by the next', { timeout: 10_000 }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'presence-'));
  const away = `${directory}-away`;
  const dataFd = openSync(join(directory, 'data'), 'w');
  t.after(() => {
    closeSync(dataFd);
    rmSync(directory, { recursive: true, force: true });
  });
  const bits = new Int32Array(allocatePresence(40));
  const file = new PresenceFile(directory, 40, bits);
  markPresent(bits, 33);
  file.note(33);
  renameSync(directory, away);
  await assert.rejects(file.checkpoint(dataFd), { code: 'ENOENT' });
  renameSync(away, directory);
  await file.checkpoint(dataFd);
  assert.ok(existsSync(join(directory, 'bitmap.synced')));
  file.close();
});
