import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TOC_SIZES_LABEL } from './names.ts';
import { encodeSizes, parseSizes } from './size-list.ts';

const limit = { timeout: 10_000 };

test('the sizes of an image of any number of layers fit a label', limit, () => {
  assert.deepEqual(parseSizes(encodeSizes(TOC_SIZES_LABEL, [51, 1234567, 0])), [51, 1234567, 0]);
  const many = Array.from({ length: 1000 }, (_, index) => 1_000_000 + index);
  const text = encodeSizes(TOC_SIZES_LABEL, many);
  assert.ok(TOC_SIZES_LABEL.length + text.length <= 4096);
  const parsed = parseSizes(text)!;
  assert.ok(parsed.length > 500);
  assert.deepEqual(parsed, many.slice(0, parsed.length));
});

test('a malformed list is no list', limit, () => {
  for (const text of ['', ',', '1,', 'a', '-1', '1.5', '1 ,2', '9'.repeat(16)])
    assert.equal(parseSizes(text), undefined);
});
