import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixedValue, matchesAny, parseFilter } from './filter.ts';
import type { Info } from './record.ts';

const info: Info = {
  name: 'default/3/sha256:ab',
  parent: '',
  kind: 'committed',
  labels: { 'containerd.io/gc.root': 'yes', l: '1', 'a"b': 'x,y', 'a.b': 'dotted' },
  createdMs: 0,
  updatedMs: 0,
};

const matching = [
  '',
  'name==default/3/sha256:ab',
  'kind==committed',
  'parent==""',
  'labels.l',
  'labels.l==1',
  'labels.l!=2',
  'labels.absent!=2',
  'labels.absent~=^$',
  'labels."containerd.io/gc.root"==yes,kind==committed',
  'labels."a\\"b"=="x,y"',
  'labels."a\\x22b"',
  'labels."a\\042b"',
  'labels."\\u0061\\"b"',
  'labels.a.b==dotted',
  'name~=/^default\\/\\d+/',
  'name~=|sha256:.b|',
  'name~="^default/"',
  'labels."containerd.io/gc.root"~=(?i)YES',
];

const different = [
  'name==other',
  'kind==active',
  'parent!=""',
  'labels.absent',
  'labels.absent==1',
  'labels.absent!=""',
  'labels.absent~=.+',
  'labels.l,kind==view',
  'nosuchfield',
  'labels."__proto__"',
  'labels.constructor',
];

for (const filter of matching) {
  test(`the filter ${filter} matches`, () => assert.ok(matchesAny([parseFilter(filter)], info)));
}

for (const filter of different) {
  test(`the filter ${filter} does not match`, () => assert.ok(!matchesAny([parseFilter(filter)], info)));
}

for (const filter of [
  ',',
  'name=x',
  'name==',
  'name==a b',
  'name=="a',
  '.l',
  'labels.',
  'name==a,',
  'n~=(',
  '"\\q"',
  '1a',
]) {
  test(`the filter ${filter} is refused with the position of the mistake`, () => {
    assert.throws(() => parseFilter(filter), { code: 'invalid-argument', message: /at character \d+/ });
  });
}

test('any of several filters is enough, and without filters everything matches', () => {
  assert.ok(matchesAny([parseFilter('name==no'), parseFilter('labels.l')], info));
  assert.ok(!matchesAny([parseFilter('name==no'), parseFilter('labels.m')], info));
  assert.ok(matchesAny([], info));
});

test("containerd's look-up of a remote snapshot uses the index", () => {
  const filter = parseFilter('labels."containerd.io/snapshot.ref"==sha256:ab,parent=="p"');
  assert.equal(fixedValue(filter, ['labels', 'containerd.io/snapshot.ref']), 'sha256:ab');
  assert.equal(fixedValue(filter, ['name']), undefined);
});
