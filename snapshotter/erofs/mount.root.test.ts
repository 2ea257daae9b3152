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
  'where /sys does not name EROFS superblocks nothing stays mounted, for nobody could tell who uses it',
  limit,
  async (t) => {
    const files = makeImage(buildTree([dir('a')]).table);
    t.after(() => removeImage(files));
    const path = join(files.directory, 'mnt');
    mkdirSync(path);
    const script = `
    import { mountImage, listErofsMounts } from ${JSON.stringify(join(import.meta.dirname, 'mount.ts'))};
    const request = { imagePath: ${JSON.stringify(files.imagePath)}, path: ${JSON.stringify(path)}, readaheadKib: 128, isDirect: false };
    const said = await mountImage(request).then(() => 'mounted', (error) => error.message);
    console.log(JSON.stringify({ said, left: listErofsMounts().includes(request.path) }));`;
    // In a mount namespace of its own: /sys without the directory, as before the kernel has loaded the module.
    const { stdout } = await execa('unshare', [
      '--mount',
      'sh',
      '-c',
      'mount -t tmpfs none /sys/fs && exec "$0" --input-type=module -e "$1"',
      process.execPath,
      script,
    ]);
    const { said, left } = JSON.parse(stdout) as { said: string; left: boolean };
    assert.match(said, /does not name the mount/);
    assert.equal(left, false);
  },
);

test('a probe clears away what one left that was killed', limit, async (t) => {
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
