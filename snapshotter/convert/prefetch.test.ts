import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openScratch } from '../../testkit/scratch.ts';
import { HOT_RANGES_LABEL } from '../estargz/names.ts';
import { parseLocation } from '../images/location.ts';
import { openSource, openTarget } from '../images/open.ts';
import { writeLayoutImage } from '../images/testing/layout-image.ts';
import { RegistryClient } from '../registry/client.ts';
import { mediaTypes, parseManifest } from '../registry/manifest.ts';
import { convertFrom, type ImageOptions } from './image.ts';
import { matchingPaths } from './prefetch.ts';
import { packTree } from './testing/source-tree.ts';

const limit = { timeout: 60_000 };
const file = (path: string) => ({ kind: 'file', path, content: Buffer.alloc(9_000, path) }) as const;

test('patterns match whole paths, and ** any number of directories', limit, () => {
  const names = ['./srv/model/a.bin', 'srv/model/deep/b.bin', 'srv/other', 'usr/bin/tool', 'caf\u00c3\u00a9'];
  const entries = [...names.map((name) => ({ name, type: 'reg' })), { name: 'srv/model', type: 'dir' }];
  const matched = (...patterns: string[]) => matchingPaths(entries, patterns);
  assert.deepEqual(matched(), []);
  assert.deepEqual(matched('srv/model/**'), ['srv/model/a.bin', 'srv/model/deep/b.bin']);
  assert.deepEqual(matched('/srv/*/*.bin', 'usr/bin/tool'), ['srv/model/a.bin', 'usr/bin/tool']);
  assert.deepEqual(matched('café'), ['café'], 'names are bytes in the archive, UTF-8 in patterns');
  assert.deepEqual(matched('srv'), []);
});

test(
  'what matches stands before the landmark and in the lists, where it is seen, and unused patterns are said',
  limit,
  async (t) => {
    const scratch = openScratch(t, 'prefetch');
    const client = new RegistryClient();
    t.after(() => client.close());
    const tars = [
      packTree([file('srv/model/a'), file('srv/model/shadowed'), file('other')]),
      packTree([file('srv/model/shadowed'), file('more')]),
      packTree([file('nothing')]),
    ];
    const layers = await writeLayoutImage(join(scratch, 'source'), tars);
    const convert = async (name: string, options: Partial<ImageOptions>) => {
      const source = await openSource(parseLocation(`oci:${scratch}/source`), { client }, t.signal);
      const location = parseLocation(`oci:${scratch}/${name}`);
      const target = await openTarget(location, { client });
      const notices: string[] = [];
      const onNotice = (line: string) => void notices.push(line);
      const { digest } = await convertFrom(source, target, {
        format: 'estargz',
        ...options,
        onNotice,
        signal: t.signal,
      });
      const { bytes } = await (await openSource(location, { client }, t.signal)).fetchManifest(undefined, t.signal);
      const parsed = parseManifest(bytes, mediaTypes.ociManifest);
      assert.ok(parsed.kind === 'manifest');
      const lists = parsed.manifest.layers.map(({ annotations }) => annotations?.[HOT_RANGES_LABEL] !== undefined);
      return { digest, lists, notices };
    };
    const plain = await convert('plain', {});
    assert.deepEqual(plain.lists, [false, false, false]);
    const some = await convert('some', { prefetch: ['srv/model/**', 'none/*'] });
    assert.deepEqual(some.lists, [true, true, false]);
    assert.deepEqual(some.notices, ['no file of the image matches --prefetch none/*']);
    assert.notEqual(some.digest, plain.digest);
    const shadowed = await convert('shadowed', { prefetch: ['srv/model/shadowed'] });
    assert.deepEqual(shadowed.lists, [false, true, false], 'a file that a layer above replaces is not fetched');
    // A record comes first, and the patterns add to it.
    const both = await convert('both', { prefetch: ['more'], accesses: [{ layer: layers[0]!, path: 'other' }] });
    assert.deepEqual(both.lists, [true, true, false]);
    const cached = { cacheDir: join(scratch, 'cache') };
    const kept = await convert('kept', { ...cached, prefetch: ['more'] });
    assert.notEqual(
      (await convert('kept-plain', cached)).digest,
      kept.digest,
      'patterns are part of what a cache keeps',
    );
  },
);
