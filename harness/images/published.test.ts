import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findWorkload, workloads } from '../../workloads/catalogue.ts';
import { parseRegistry } from '../registry/remote.ts';
import { officialImage, parseOrigin, parseTags, publishedImage } from './published.ts';
import { variantNames } from './variants.ts';

const mine = parseRegistry('--registry', 'ghcr.io/me')!;
const none = new Map<string, string>();
const named = (name: string) => findWorkload(name)!;

test('images are published under their names on Docker Hub, with the variant in the tag', () => {
  const names = variantNames.map((variant) => publishedImage(mine, named('python'), variant, none));
  assert.deepEqual(names, [
    'ghcr.io/me/python:3.11-org',
    'ghcr.io/me/python:3.11-sgz',
    'ghcr.io/me/python:3.11-esgz-noopt',
    'ghcr.io/me/python:3.11-esgz',
    'ghcr.io/me/python:3.11-zstdchunked',
  ]);
  assert.equal(publishedImage(mine, named('etcd'), 'legacy', none), 'ghcr.io/me/etcd:3.4-org');
  assert.equal(publishedImage(mine, named('torch'), 'legacy', none), 'ghcr.io/me/torch:bookworm-org');
  assert.equal(officialImage(named('etcd'), none), 'docker.io/bitnami/etcd:3.4');
  assert.equal(officialImage(named('python'), none), 'docker.io/library/python:3.11');
  // numpy's image is python's with more packages, which the official one lacks.
  for (const name of ['torch', 'numpy']) {
    assert.throws(() => officialImage(named(name), none), { code: 'unsupported-image' });
  }
});

test('no two images share a name, and workloads on one image do', () => {
  const images = new Map(workloads.map((one) => [one.image.name, publishedImage(mine, one, 'legacy', none)]));
  assert.equal(new Set(images.values()).size, images.size);
  assert.equal(publishedImage(mine, named('numpy'), 'legacy', none), images.get('python'));
});

test('the public set has its own tags, and a tag that is given goes first', () => {
  const set = parseRegistry('--registry', 'ghcr.io/stargz-containers')!;
  assert.equal(publishedImage(set, named('gcc'), 'estargz', none), 'ghcr.io/stargz-containers/gcc:11.2.0-esgz');
  const tags = parseTags('--tags', 'gcc=10.2.0, python=3.9');
  assert.equal(publishedImage(set, named('gcc'), 'estargz', tags), 'ghcr.io/stargz-containers/gcc:10.2.0-esgz');
  assert.throws(() => parseTags('--tags', 'gcc'), { code: 'usage' });
  assert.throws(() => parseTags('--tags', 'nothing=1'), { code: 'usage' });
});

test('a registry is named with its host and a namespace', () => {
  assert.equal(parseRegistry('--registry', 'embedded'), undefined);
  assert.deepEqual(parseRegistry('--registry', 'localhost:5000/a/b/'), {
    registry: 'localhost:5000',
    name: 'localhost:5000/a/b',
  });
  for (const text of ['', 'docker.io', 'me', 'me/python', 'ghcr.io/Me', 'ghcr.io/me:tag', 'ghcr.io/me@x']) {
    assert.throws(() => parseRegistry('--registry', text), { code: 'usage' }, text);
  }
  assert.deepEqual(parseOrigin('--source', 'official'), { kind: 'official' });
  assert.throws(() => parseOrigin('--source', 'elsewhere'), { code: 'usage' });
});
