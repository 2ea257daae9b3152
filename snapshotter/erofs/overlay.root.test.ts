import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { mountFilesystem, unmountFilesystem } from '../platform/syscalls.ts';
import { findPath } from '../tree/lookup.ts';
import { buildTree, dir, file } from '../tree/testing/toc-json.ts';
import { withMountedImage } from './testing/mounted-image.ts';

describe('EROFS layers below an overlay', { timeout: 60_000 }, () => {
  test('whiteouts hide, opaque directories replace, other names merge, and a write copies up', async () => {
    const below = buildTree([
      file('gone', 0, 0),
      file('kept', 5, 100),
      file('replaced/old', 0, 0),
      file('merged/below', 0, 0),
      file('dir-gone/x', 0, 0),
    ]).table;
    const above = buildTree([
      file('.wh.gone', 0, 0),
      file('.wh.dir-gone', 0, 0),
      dir('replaced'),
      file('replaced/.wh..wh..opq', 0, 0),
      file('replaced/new', 0, 0),
      file('merged/above', 0, 0),
    ]).table;
    const contents = new Map([[below.dataOffset[findPath(below, 'kept')]!, Buffer.from('below')]]);
    await withMountedImage(below, contents, (lowest) =>
      withMountedImage(above, new Map(), async (middle) => {
        await withOverlay([middle, lowest], (root, upper) => {
          assert.deepEqual(readdirSync(root).sort(), ['kept', 'merged', 'replaced']);
          assert.deepEqual(readdirSync(join(root, 'replaced')), ['new']);
          assert.deepEqual(readdirSync(join(root, 'merged')).sort(), ['above', 'below']);
          assert.equal(readFileSync(join(root, 'kept'), 'latin1'), 'below');
          writeFileSync(join(root, 'kept'), ' and above', { flag: 'a' });
          assert.equal(readFileSync(join(upper, 'kept'), 'latin1'), 'below and above');
        });
      }),
    );
  });
});

async function withOverlay(lower: readonly string[], use: (root: string, upper: string) => void): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'erofs-overlay-'));
  const [root, upper, work] = ['root', 'upper', 'work'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [root, upper, work]) mkdirSync(path);
  let isMounted = false;
  try {
    await mountFilesystem(
      'overlay',
      root,
      'overlay',
      0,
      `lowerdir=${lower.join(':')},upperdir=${upper},workdir=${work}`,
    );
    isMounted = true;
    use(root, upper);
  } finally {
    if (isMounted) await unmountFilesystem(root);
    rmSync(directory, { recursive: true, force: true });
  }
}
