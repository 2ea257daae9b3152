import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { startContainerd } from '../../testkit/containerd.ts';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { startRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { runProgram } from '../convert/testing/command.ts';
import { pushDockerImage } from '../convert/testing/image.ts';
import { packTree } from '../convert/testing/source-tree.ts';
import { RegistryClient } from '../registry/client.ts';
import { parseReference } from '../registry/reference.ts';

test('an image that ctr-remote converted is shown from a registry, and all its digests are right', {
  timeout: 120_000,
}, async (t) => {
  const registry = await startRegistry(t);
  const containerd = await startContainerd(t, join(openScratch(t, 'inspect'), 'containerd'));
  const client = new RegistryClient();
  t.after(() => client.close());
  const [source, target] = [`${registry.host}/a/src:1`, `${registry.host}/a/esgz:1`];
  const tar = packTree([
    { kind: 'file', path: 'bin/big', content: pseudoRandomBytes(5_000_000, 1) },
    { kind: 'file', path: 'bin/small', content: Buffer.from('small') },
  ]);
  await pushDockerImage(client, parseReference(source), [tar]);
  await containerd.command('ctr', ['images', 'pull', '--plain-http', '--snapshotter', 'native', source]);
  await containerd.command('ctr-remote', ['images', 'convert', '--estargz', '--oci', source, target]);
  await containerd.command('ctr', ['images', 'push', '--plain-http', target]);

  const inspect = join(import.meta.dirname, 'cli.ts');
  const { status, stdout, stderr } = await runProgram(inspect, [target, '--verify', '--json']);
  assert.deepEqual([status, stderr], [0, ''], stdout);
  const [{ format, toc, digest, verification }] = JSON.parse(stdout).layers;
  assert.equal(format, 'estargz');
  assert.deepEqual([toc.files, toc.chunks.count, toc.hotRanges], [3, 4, null]);
  assert.deepEqual(toc.landmark, { kind: 'none' });
  assert.equal(verification.chunks, 4);
  const peer = await containerd.command('ctr-remote', ['images', 'get-toc-digest', digest]);
  assert.equal(peer.trim(), toc.digest);
});
