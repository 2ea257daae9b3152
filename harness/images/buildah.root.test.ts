import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { parseManifest } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { unmountUnder } from '../host/mounts.ts';
import { type Registry, startRegistry } from '../registry/registry.ts';
import { type Buildah, openBuildah } from './buildah.ts';

const timeout = 60_000;
let scratch: string;
let registry: Registry;
let buildah: Buildah;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'bench-buildah-'));
  registry = await startRegistry({ dataDir: join(scratch, 'registry') }, AbortSignal.timeout(timeout));
  buildah = await openBuildah(join(scratch, 'buildah'));
});

after(async () => {
  await registry?.close();
  await unmountUnder(scratch);
  await rm(scratch, { recursive: true, force: true });
});

async function writeContext(name: string, dockerfile: string): Promise<string> {
  const context = join(scratch, name);
  await mkdir(context);
  await copyFile('/bin/busybox', join(context, 'busybox'));
  await writeFile(join(context, 'Dockerfile'), dockerfile);
  return context;
}

const shell = 'FROM scratch\nCOPY busybox /bin/sh\nRUN echo built > /built\n';

test('an image is built, found again, used as a base and pushed as OCI', { timeout }, async (t) => {
  const steps: string[] = [];
  const tag = 'localhost/bench-test/shell:1';
  assert.equal(await buildah.has(tag), false);
  const context = await writeContext('shell', shell);
  await buildah.build({ tag, context, base: undefined }, (step) => steps.push(step), t.signal);
  assert.equal(await buildah.has(tag), true);
  assert.ok(steps.includes('step 3 of 3 (RUN)'));

  const child = 'localhost/bench-test/child:1';
  const onTop = await writeContext('child', 'ARG BASE\nFROM $BASE\nRUN echo more > /more\nCMD ["sh"]\n');
  await buildah.build({ tag: child, context: onTop, base: tag }, () => {}, t.signal);
  const reference = `${registry.address}/child:1`;
  await buildah.push(child, reference, t.signal);

  const client = new RegistryClient();
  t.after(() => client.close());
  const { bytes, mediaType } = await client.fetchManifest(parseReference(reference), t.signal);
  const parsed = parseManifest(bytes, mediaType);
  assert.ok(parsed.kind === 'manifest');
  assert.match(mediaType, /oci/);
  assert.equal(parsed.manifest.layers.length, 3);
  assert.ok(parsed.manifest.layers.every((layer) => layer.mediaType.endsWith('tar+gzip')));
  assert.deepEqual(mountsUnder(scratch), []);
});

test('a failing step is reported with the end of its output and a remedy', { timeout }, async (t) => {
  const context = await writeContext('broken', `${shell}RUN echo no such package >&2; exit 7\n`);
  const building = buildah.build(
    { tag: 'localhost/bench-test/broken:1', context, base: undefined },
    () => {},
    t.signal,
  );
  await assert.rejects(building, { code: 'image-build', message: /no such package|exit status 7/, remedy: /again/ });
  assert.equal(await buildah.has('localhost/bench-test/broken:1'), false);
});

test('an abort during a step ends it and leaves no mount', { timeout }, async () => {
  const controller = new AbortController();
  const reason = new Error('interrupted');
  const context = await writeContext('slow', `${shell}RUN while :; do :; done\n`);
  const onStep = (step: string) => {
    if (step.startsWith('step 4')) setTimeout(() => controller.abort(reason), 300);
  };
  const tag = 'localhost/bench-test/slow:1';
  await assert.rejects(buildah.build({ tag, context, base: undefined }, onStep, controller.signal), reason);
  assert.deepEqual(mountsUnder(scratch), []);
});

test('a push to an unreachable registry fails', { timeout }, async (t) => {
  const tag = 'localhost/bench-test/shell:2';
  await buildah.build({ tag, context: join(scratch, 'shell'), base: undefined }, () => {}, t.signal);
  await assert.rejects(buildah.push(tag, '127.0.0.1:9/x:1', t.signal), {
    code: 'image-build',
    message: /127\.0\.0\.1:9/,
  });
});

test('images that nobody keeps go, but not what a kept one is built on', { timeout }, async (t) => {
  const own = await openBuildah(join(scratch, 'pruned'));
  const [base, kept, other] = ['base', 'kept', 'other'].map((name) => `localhost/bench-test/${name}:1`) as [
    string,
    string,
    string,
  ];
  const context = await writeContext('pruned-base', shell);
  await own.build({ tag: base, context, base: undefined }, () => {}, t.signal);
  for (const tag of [kept, other]) {
    const onTop = await writeContext(`pruned-${tag.slice(21, -2)}`, `ARG BASE\nFROM $BASE\nRUN echo ${tag} > /more\n`);
    await own.build({ tag, context: onTop, base }, () => {}, t.signal);
  }
  assert.equal(await own.removeOthers([kept], t.signal), 2);
  assert.deepEqual([await own.has(base), await own.has(kept), await own.has(other)], [false, true, false]);
  await own.push(kept, `${registry.address}/kept:1`, t.signal);
  assert.equal(await own.removeOthers([], t.signal), 1);
  assert.equal(await own.has(kept), false);
});
