import assert from 'node:assert/strict';
import type { FuzzTarget } from '../../testkit/fuzz-target.ts';
import { readFileNames } from './file-names.ts';
import { encodeElf } from './testing/elf.ts';

export const targets: readonly FuzzTarget[] = [
  {
    name: 'file-names',
    seeds: [
      encodeElf({
        interpreter: '/lib64/ld-linux-x86-64.so.2',
        needed: ['libm.so.6', 'libc.so.6'],
        dynamicOffset: 1200,
      }),
      Buffer.from('#!/bin/sh\nexec initdb\n'),
    ],
    dictionary: ['\x7fELF\x02\x01', '#!', '/lib64/', 'libc.so.6\0', '\x01\0\0\0\0\0\0\0', '\x05\0\0\0\0\0\0\0'],
    run(input) {
      const found = readFileNames((offset, sizeBytes) => {
        assert.ok(Number.isSafeInteger(offset) && offset >= 0 && sizeBytes >= 0 && sizeBytes <= 64 * 1024);
        return input.subarray(Math.min(offset, input.length), Math.min(offset + sizeBytes, input.length));
      });
      assert.notEqual(found.kind, 'wanting');
      if ('names' in found) assert.ok(found.names.length <= 512 && found.names.every((name) => name !== ''));
    },
  },
];
