import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { unmountUnder } from './mounts.ts';

test('nested, stacked and busy mounts below a directory are unmounted, and mounts beside it stay', {
  timeout: 20_000,
}, async (t) => {
  const top = await mkdtemp(join(tmpdir(), 'bench mounts-'));
  const [inside, beside] = [join(top, 'cell'), join(top, 'cell-2')];
  t.after(async () => {
    await unmountUnder(top);
    await rm(top, { recursive: true });
  });
  await mkdir(inside);
  await mkdir(beside);
  await execa('mount', ['-t', 'tmpfs', 'none', inside]);
  await mkdir(join(inside, 'deep'));
  await execa('mount', ['-t', 'tmpfs', 'none', join(inside, 'deep')]);
  await execa('mount', ['-t', 'tmpfs', 'none', join(inside, 'deep')]);
  await execa('mount', ['-t', 'tmpfs', 'none', beside]);
  const user = await open(join(inside, 'deep', 'open'), 'w');
  assert.equal(mountsUnder(inside).length, 3);
  await unmountUnder(inside);
  await user.close();
  assert.deepEqual(mountsUnder(inside), []);
  assert.equal(mountsUnder(beside).length, 1);
});
