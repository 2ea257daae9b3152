import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { MS_RDONLY, mountFilesystem } from '../platform/syscalls.ts';
import { buildTree, dir } from '../tree/testing/toc-json.ts';
import { listErofsMounts, unmountImage } from './mount.ts';
import { probeErofs } from './probe.ts';
import { makeImage, removeImage } from './testing/mounted-image.ts';

const limit = { timeout: 30_000 };

test(
  'where /sys does not list EROFS superblocks nothing stays mounted, since its users could not be seen',
  limit,
  async (t) => {
    const files = makeImage(buildTree([dir('a')]).table);
    t.after(() => removeImage(files));
    const path = join(files.directory, 'mnt');
    mkdirSync(path);
    // In a mount namespace of its own: /sys without the directory, as before the kernel has loaded the module.
    const program = join(import.meta.dirname, 'testing/mount-without-sysfs.ts');
    const { stdout } = await execa('unshare', ['--mount', process.execPath, program, files.imagePath, path]);
    const { said, left } = JSON.parse(stdout) as { said: string; left: boolean };
    assert.match(said, /does not list the mount/);
    assert.equal(left, false);
  },
);

test('a probe removes what a killed probe left', limit, async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'erofs-probe-'));
  const files = makeImage(buildTree([dir('a')]).table);
  const left = join(root, '.probe-killed/mnt/1');
  t.after(async () => {
    await unmountImage(left);
    removeImage(files);
    rmSync(root, { recursive: true, force: true });
  });
  mkdirSync(left, { recursive: true });
  await mountFilesystem(files.imagePath, left, 'erofs', MS_RDONLY, '');
  assert.deepEqual(await probeErofs(root), { works: true, reason: 'holes are asked for by range, and filled' });
  assert.ok(!listErofsMounts().includes(left));
  assert.deepEqual(readdirSync(root), []);
});
