import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultDirectory } from './attributes.ts';
import { inheritAttributes, type LayerTree } from './lower-layers.ts';

const directory = { kind: 'dir', attributes: { ...defaultDirectory, uid: 7 } } as const;

test('attributes come from the nearest layer that has the path, if it is a directory there', {
  timeout: 10_000,
}, () => {
  const upper: LayerTree = new Map([['file', { kind: 'other' }]]);
  const lower: LayerTree = new Map([
    ['file', directory],
    ['dir', directory],
  ]);
  const inherited = inheritAttributes(['file', 'dir', 'nowhere'], [upper, lower]);
  assert.deepEqual([...inherited.keys()], ['dir']);
  assert.equal(inherited.get('dir')?.uid, 7);
});

test('a path through a file or a symlink cycle below is rejected, as by containerd', { timeout: 10_000 }, () => {
  const file: LayerTree = new Map([['lib', { kind: 'other' }]]);
  assert.throws(() => inheritAttributes(['lib/d'], [file]), { code: 'malformed-layer', message: /"lib\/d"/ });
  const circle: LayerTree = new Map([['lib', { kind: 'symlink', target: 'lib' }]]);
  assert.throws(() => inheritAttributes(['lib/d'], [circle]), { code: 'malformed-layer', message: /"lib\/d"/ });
});
