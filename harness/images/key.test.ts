import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { recipeKey } from './key.ts';

test('a key changes with content, name, mode, parent and base, and with nothing else', {
  timeout: 10_000,
}, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'bench-key-'));
  t.after(() => rm(dir, { recursive: true }));
  const directories = { parent: join(dir, 'parent'), child: join(dir, 'child') };
  await mkdir(directories.parent);
  await mkdir(join(directories.child, 'files'), { recursive: true });
  await writeFile(join(directories.parent, 'Dockerfile'), 'FROM scratch\n');
  await writeFile(join(directories.child, 'Dockerfile'), 'FROM x\n');
  await writeFile(join(directories.child, 'files', 'run.sh'), 'true\n');
  const parent = { name: 'parent', directory: directories.parent, parent: undefined };
  const child = { name: 'child', directory: directories.child, parent };
  const seen = new Set<string>();
  const expectNew = async (base = 'b') => {
    const key = await recipeKey(child, base);
    assert.match(key, /^[0-9a-f]{12}$/);
    assert.equal(await recipeKey(child, base), key);
    assert.ok(!seen.has(key));
    seen.add(key);
  };
  await expectNew();
  await expectNew('another base');
  await writeFile(join(directories.child, 'Dockerfile'), 'FROM y\n');
  await expectNew();
  await chmod(join(directories.child, 'files', 'run.sh'), 0o755);
  await expectNew();
  await writeFile(join(directories.child, 'files', 'more'), '');
  await expectNew();
  await writeFile(join(directories.parent, 'Dockerfile'), 'FROM scratch\nCMD ["x"]\n');
  await expectNew();
});
