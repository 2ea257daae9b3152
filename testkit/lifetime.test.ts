import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { programLifetime, suiteLifetime, undoAfter } from './lifetime.ts';

const limit = { timeout: 10_000 };

test('what was set up last is undone first, also when undoing something fails', limit, async () => {
  const undone: string[] = [];
  const lifetime = programLifetime();
  undoAfter(lifetime, () => undone.push('directory'));
  undoAfter(lifetime, async () => {
    await undefined;
    undone.push('daemon');
    throw new Error('it was killed');
  });
  undoAfter(lifetime, () => undone.push('mount'));
  await assert.rejects(async () => lifetime[Symbol.asyncDispose](), /it was killed/);
  assert.deepEqual(undone, ['mount', 'daemon', 'directory']);
});

describe('in a test', () => {
  const undone: string[] = [];
  test('resources are set up', limit, (t) => {
    for (const name of ['first', 'second', 'third']) undoAfter(t, () => undone.push(name));
  });
  test('and undone in reverse after it', limit, () => assert.deepEqual(undone, ['third', 'second', 'first']));
});

describe('in a suite', () => {
  const undone: string[] = [];
  describe('resources outlive single tests', () => {
    const lifetime = suiteLifetime();
    test('one is set up in a test', limit, () => {
      undoAfter(lifetime, () => undone.push('first'));
      undoAfter(lifetime, () => undone.push('second'));
    });
    test('and is there in the next', limit, () => assert.deepEqual(undone, []));
  });
  test('they are undone after the suite', limit, () => assert.deepEqual(undone, ['second', 'first']));
});
