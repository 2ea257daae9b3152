import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { convertPlain, pushPlain, writeInto } from '../../../testkit/images.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { findWorkload } from '../../../workloads/catalogue.ts';
import { nameImages } from '../../images/ensure.ts';
import { readStore } from '../../images/store.ts';
import { startRegistry } from '../../registry/registry.ts';

const timeout = 110_000;
const root = fileURLToPath(new URL('../../..', import.meta.url));

test('images in the embedded registry are listed, verified and pruned', { timeout }, async (t) => {
  const stateDir = openScratch(t, 'embedded');
  const names = (await nameImages([findWorkload('busybox')!], stateDir)).get('busybox')!;
  const dataDir = join(stateDir, 'registry');
  const registry = await startRegistry({ dataDir }, AbortSignal.timeout(timeout));
  const at = (name: string) => `${registry.address}/${name}`;
  await pushPlain({ reference: at(names.legacy), layers: [writeInto('data', randomBytes(2_000_000))] });
  await convertPlain(at(names.legacy), at(names.estargz), { format: 'estargz' });
  await pushPlain({ reference: at('busybox:legacy-of-an-older-recipe'), layers: [writeInto('data', 'x')] });
  await registry.close();

  const run = (...args: readonly string[]) =>
    execa(process.execPath, ['harness/programs/images/cli.ts', ...args, '--state-dir', stateDir], {
      ...{ cwd: root, reject: false, stdin: 'ignore', timeout },
    });
  const chosen = ['--workloads', 'busybox', '--variants', 'legacy,stargz,estargz'];
  const listed = await run('list', ...chosen);
  assert.equal(listed.exitCode, 0, listed.stderr);
  assert.match(listed.stdout, /^embedded registry, MB +legacy +stargz +estargz\nbusybox +2\.0 +– +2\.0$/m);
  assert.match(listed.stdout, /^and 1 that prune may remove/m);
  assert.match(listed.stdout, /^[\d.]+ GB on disk: registry /m);

  const right = await run('verify', ...chosen);
  assert.equal(right.exitCode, 0, right.stdout + right.stderr);
  assert.match(right.stdout, /: right, 1 layer, \d+ chunks\n2 of 3 images are there, all of them right$/);

  const [, layer] = (await readStore(dataDir)).get(names.estargz)!.blobs;
  const hex = layer!.digest.slice('sha256:'.length);
  const path = join(dataDir, 'data/docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  const damaged = await readFile(path);
  damaged[1000] = damaged[1000]! ^ 1;
  await writeFile(path, damaged);
  const wrong = await run('verify', ...chosen);
  assert.equal(wrong.exitCode, 1);
  assert.match(wrong.stdout, /^busybox:estargz-\S+: WRONG$/m);
  assert.match(wrong.stdout, /\n2 of 3 images are there, 1 WRONG$/);

  const planned = await run('prune', '--dry-run');
  assert.match(planned.stdout, /^would remove busybox:legacy-of-an-older-recipe$/m);
  const pruned = await run('prune', '--limit', '1mb');
  assert.equal(pruned.exitCode, 0, pruned.stdout + pruned.stderr);
  assert.equal((await readStore(dataDir)).size, 0);
});

test('a command that is missing, or makes no sense, is one line', { timeout }, async () => {
  const run = (...args: readonly string[]) =>
    execa(process.execPath, ['harness/programs/images/cli.ts', ...args], { cwd: root, reject: false, timeout });
  const missing = await run();
  assert.equal(missing.exitCode, 2);
  assert.match(
    missing.stderr,
    /^images: name a command; commands: prepare, list, verify, prune \(--help tells more\)$/,
  );
  const elsewhere = await run('prune', '--registry', 'ghcr.io/me');
  assert.match(
    elsewhere.stderr,
    /^images: prune removes what is below --state-dir; images in ghcr\.io\/me are removed there/,
  );
  const unknown = await run('list', '--hosts-dir', '/nowhere', '--registry', 'ghcr.io/me');
  assert.match(unknown.stderr, /^images: there is no directory \/nowhere; correct --hosts-dir$/);
});
