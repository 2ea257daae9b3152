import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { joinWords, splitWords } from './words.ts';

const limit = { timeout: 10_000 };

test('a command is split as a shell splits it', limit, () => {
  for (const text of [
    'redis-server --save ""',
    `sh -c 'echo "a  b"; exec sleep 1'`,
    'a\\ b "c\\"d" e\'f g\'h',
    '  x   y  ',
    `'it'\\''s'`,
  ]) {
    const shell = execFileSync('sh', ['-c', `printf '%s\\n' ${text}`], { encoding: 'utf8' })
      .split('\n')
      .slice(0, -1);
    assert.deepEqual(splitWords('--command', text), shell, text);
  }
});

test('what was joined is split into the same words, also by a shell', limit, () => {
  const words = ['sh', '-c', 'echo "$HOME"; it\'s', '', 'a=b', 'docker-daemon:x/y:1', 'two\nlines'];
  assert.deepEqual(splitWords('--command', joinWords(words)), words);
  const shell = execFileSync('sh', ['-c', `printf '%s|' ${joinWords(words)}`], { encoding: 'utf8' });
  assert.equal(shell, words.map((word) => `${word}|`).join(''));
});

test('a quote without its end, and nothing at all, are refused', limit, () => {
  assert.throws(() => splitWords('--command', `sh -c 'x`), {
    code: 'usage',
    message: /--command has ' without its end/,
  });
  assert.throws(() => splitWords('--command', 'a \\'), { code: 'usage' });
  assert.throws(() => splitWords('--command', '  '), { code: 'usage', message: /needs a command/ });
});
