import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { chainIds } from './chain-id.ts';

const digest = (character: string) => `sha256:${character.repeat(64)}`;

test('the first ChainID is the DiffID, each further one the digest of the pair joined by a space', () => {
  const sha = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  const second = sha(`${digest('a')} ${digest('b')}`);
  assert.deepEqual(chainIds([digest('a'), digest('b'), digest('c')]), [
    digest('a'),
    second,
    sha(`${second} ${digest('c')}`),
  ]);
  assert.deepEqual(chainIds([]), []);
});

test('a DiffID that is not a digest is rejected', () => {
  assert.throws(() => chainIds(['sha256:short']), TypeError);
});
