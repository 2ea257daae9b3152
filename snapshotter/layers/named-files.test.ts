import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../testkit/until.ts';
import { buildTestBlob, pseudoRandomBytes, type TestBlob, type TestFile } from '../store/testing/blob.ts';
import { findPath } from '../tree/lookup.ts';
import { encodeElf } from './testing/elf.ts';
import { limit, openBench, readThrough, signal, soon, type TestFace } from './testing/manager-bench.ts';
import { requestFor, testRegistry } from './testing/registry.ts';

const libraries = 'usr/lib/x86_64-linux-gnu';
/** Far apart, so that nothing comes for being near. */
const ballast = (name: string): TestFile => ({ name, content: pseudoRandomBytes(2_000_000, name.length) });
const base = buildTestBlob([
  { name: 'usr/bin/initdb', content: encodeElf({ needed: ['libpq.so.5'] }), mode: 0o755 },
  ballast('a'),
  { name: `${libraries}/libc.so.6`, content: encodeElf({}) },
  ballast('bb'),
  { name: `${libraries}/libunused.so`, content: encodeElf({}) },
]);
const top = buildTestBlob([
  { name: 'entrypoint.sh', content: Buffer.from('#!/bin/sh\nexec initdb --auth\n'), mode: 0o755 },
  ballast('ccc'),
  { name: `${libraries}/libpq.so.5`, content: encodeElf({ needed: ['libc.so.6'] }) },
  ballast('dddd'),
]);

function has(face: TestFace, blob: TestBlob, path: string): boolean {
  const { store } = face.attached.get(blob.digest)!;
  return store.isPresent(store.table.dataOffset[findPath(store.table, path)]!, 1);
}

async function mountBoth(t: Parameters<typeof openBench>[0], adaptiveFetch: boolean): Promise<TestFace> {
  const { manager, face } = await openBench(t, testRegistry([base, top]));
  const layers = manager({ adaptiveFetch, noBackgroundFetch: true });
  const siblings = [base.digest, top.digest];
  for (const blob of [base, top]) await layers.mount(requestFor(blob, { siblings }), signal);
  return face;
}

test('what a script and its programs name is fetched from all layers of the image', limit, async (t) => {
  const face = await mountBoth(t, true);
  await readThrough(face, top.digest, { name: 'entrypoint.sh', content: Buffer.alloc(20) });
  await until('libc is present', () => has(face, base, `${libraries}/libc.so.6`), soon);
  assert.ok(has(face, base, 'usr/bin/initdb') && has(face, top, `${libraries}/libpq.so.5`));
  assert.ok(!has(face, base, `${libraries}/libunused.so`) && !has(face, base, 'bb') && !has(face, top, 'dddd'));
});

test('with adaptive_fetch off, nothing is fetched for being named', limit, async (t) => {
  const face = await mountBoth(t, false);
  await readThrough(face, top.digest, { name: 'entrypoint.sh', content: Buffer.alloc(20) });
  await readThrough(face, base.digest, { name: `${libraries}/libunused.so`, content: Buffer.alloc(20) });
  assert.ok(!has(face, base, 'usr/bin/initdb') && !has(face, top, `${libraries}/libpq.so.5`));
});
