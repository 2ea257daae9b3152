import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const maxLines = 400;

test('no source file is longer than 400 lines, other than generated ones', { timeout: 30_000 }, async () => {
  const long: string[] = [];
  for await (const path of glob('**/*.ts', { cwd: root, exclude: (name) => name === 'node_modules' })) {
    const text = await readFile(join(root, path), 'utf8');
    const lineCount = text.split('\n').length - 1;
    if (lineCount > maxLines && !text.startsWith('// Generated from ')) long.push(`${path}: ${lineCount}`);
  }
  assert.deepEqual(long, []);
});
