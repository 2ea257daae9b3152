import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildTree, dir, file } from '../tree/testing/toc-json.ts';
import { pathOf } from '../tree/lookup.ts';
import { findNamedFile, readFileNames } from './file-names.ts';
import { encodeElf } from './testing/elf.ts';

/** Content of which the first `presentBytes` are present. */
function readsOf(content: Buffer, presentBytes = content.length) {
  return (offset: number, sizeBytes: number): Buffer | undefined => {
    const end = Math.min(offset + sizeBytes, content.length);
    return end > presentBytes ? undefined : content.subarray(Math.min(offset, content.length), end);
  };
}

test('a program names its interpreter, the cache of libraries and its libraries', () => {
  const content = encodeElf({ interpreter: '/lib64/ld-linux-x86-64.so.2', needed: ['libm.so.6', 'libc.so.6'] });
  assert.deepEqual(readFileNames(readsOf(content)), {
    kind: 'libraries',
    names: ['/lib64/ld-linux-x86-64.so.2', '/etc/ld.so.cache', 'libm.so.6', 'libc.so.6'],
  });
});

test('the names of a real program are those that ld.so lists', () => {
  const found = readFileNames(readsOf(readFileSync('/bin/sh')));
  assert.ok(found.kind === 'libraries' && found.names.includes('libc.so.6'), JSON.stringify(found));
});

test('absent bytes are named by their offset', () => {
  const content = encodeElf({ needed: ['libc.so.6'], dynamicOffset: 50_000 });
  assert.deepEqual(readFileNames(readsOf(content, 0)), { kind: 'wanting', offset: 0 });
  assert.deepEqual(readFileNames(readsOf(content, 8192)), { kind: 'wanting', offset: 50_000 });
});

test('a script names words and paths; other content names nothing', () => {
  const script = Buffer.from('#!/usr/bin/env bash\nset -e\nif [ "$(id -u)" = 0 ]; then exec initdb; fi\n');
  const found = readFileNames(readsOf(script));
  assert.ok(found.kind === 'programs');
  for (const name of ['/usr/bin/env', 'bash', 'id', 'initdb']) assert.ok(found.names.includes(name), name);
  for (const text of ['', '#', 'hello', '\x7fELF']) {
    assert.deepEqual(readFileNames(readsOf(Buffer.from(text))), { kind: 'none' });
  }
});

test('an ELF file that contradicts itself names nothing', () => {
  const content = encodeElf({ interpreter: '/ld.so', needed: ['libc.so.6'] });
  const corrupt = (offset: number, value: bigint): Buffer => {
    const copy = Buffer.from(content);
    copy.writeBigUInt64LE(value, offset);
    return copy;
  };
  // Program headers, dynamic section and its size, out of the file's reach.
  for (const damaged of [corrupt(32, 2n ** 63n), corrupt(120 + 8, 2n ** 60n), corrupt(120 + 32, 2n ** 40n)]) {
    assert.deepEqual(readFileNames(readsOf(damaged)), { kind: 'none' });
  }
});

test('an empty interpreter is no name', () => {
  assert.deepEqual(readFileNames(readsOf(encodeElf({ interpreter: '' }))), {
    kind: 'libraries',
    names: ['/etc/ld.so.cache'],
  });
});

const lower = buildTree([
  dir('usr/bin'),
  file('usr/bin/id', 10, 100, { mode: 0o755 }),
  file('usr/bin/data', 10, 200),
  dir('usr/lib/x86_64-linux-gnu'),
  file('usr/lib/x86_64-linux-gnu/libssl.so.3.0.1', 10, 300),
  { name: 'usr/lib/x86_64-linux-gnu/loop.so', type: 'symlink', linkName: 'loop.so' },
  file('usr/lib/x86_64-linux-gnu/libc.so.6', 10, 400),
]).table;
const upper = buildTree([
  { name: 'usr/lib/x86_64-linux-gnu/libssl.so.3', type: 'symlink', linkName: 'libssl.so.3.0.1' },
  file('usr/lib/x86_64-linux-gnu/libc.so.6', 10, 100),
  file('opt/jvm/lib/libjli.so', 10, 200),
]).table;

function find(name: string, kind: 'libraries' | 'programs' = 'libraries', directory = ''): string | undefined {
  const tables = [upper, lower];
  const found = findNamedFile(tables, name, kind, directory);
  return found && `${found.layer} ${pathOf(tables[found.layer]!, found.inode)}`;
}

test('a library is found in the topmost layer that has it, through links across layers', () => {
  assert.equal(find('libc.so.6'), '0 usr/lib/x86_64-linux-gnu/libc.so.6');
  assert.equal(find('libssl.so.3'), '1 usr/lib/x86_64-linux-gnu/libssl.so.3.0.1');
  assert.equal(find('loop.so'), undefined);
  assert.equal(find('libabsent.so'), undefined);
});

test('a library is found beside its program, by $ORIGIN/../lib', () => {
  assert.equal(find('libjli.so'), undefined);
  assert.equal(find('libjli.so', 'libraries', 'opt/jvm/bin'), '0 opt/jvm/lib/libjli.so');
});

test('a program must be executable; a path is looked up as it is', () => {
  assert.equal(find('id', 'programs'), '1 usr/bin/id');
  assert.equal(find('data', 'programs'), undefined);
  assert.equal(find('/usr/bin/../bin/./data', 'programs'), '1 usr/bin/data');
  assert.equal(find('../../../etc/passwd', 'programs'), undefined);
});
