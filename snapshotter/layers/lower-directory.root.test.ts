import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { lowerDirectory } from './lower-directory.ts';

function openRoot(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'lower-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const path of ['home', 'home/app', 'secret']) mkdirSync(join(root, path));
  chmodSync(join(root, 'home/app'), 0o1750);
  chownSync(join(root, 'home/app'), 1000, 3_000_000_000);
  utimesSync(join(root, 'home/app'), new Date(5000), new Date(-500));
  return root;
}

test('attributes of an unpacked directory are read exactly', { timeout: 20_000 }, (t) => {
  const lower = lowerDirectory(openRoot(t));
  assert.deepEqual(lower.directoryAt('/home/app'), {
    mode: 0o1750,
    uid: 1000,
    gid: 3_000_000_000,
    mtimeSec: -1,
    mtimeNsec: 500_000_000,
    xattrs: [],
  });
  assert.equal(lower.directoryAt('/home/none'), undefined);
  assert.equal(lower.directoryAt('/none/at/all'), undefined);
});

test('links are followed within the layer, and files are told from missing names', { timeout: 20_000 }, (t) => {
  const root = openRoot(t);
  chmodSync(join(root, 'secret'), 0o700);
  symlinkSync('../../../secret', join(root, 'relative'));
  symlinkSync('/secret', join(root, 'absolute'));
  symlinkSync('loop', join(root, 'loop'));
  writeFileSync(join(root, 'file'), '');
  const lower = lowerDirectory(root);
  for (const path of ['/relative', '/absolute', '/secret']) {
    const found = lower.directoryAt(path);
    assert.ok(typeof found === 'object');
    assert.equal(found.mode, 0o700, path);
  }
  assert.equal(lower.directoryAt('/file'), 'other');
  assert.throws(() => lower.directoryAt('/file/below'), { code: 'name' });
  assert.throws(() => lower.directoryAt('/loop/below'), { code: 'name' });
});
