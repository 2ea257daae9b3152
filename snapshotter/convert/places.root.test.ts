/** Images outside of registries, converted by the command and exchanged with Docker, skopeo, buildah and umoci. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { execa } from 'execa';
import { startDocker, type TestDocker } from '../../testkit/docker.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { run } from './testing/command.ts';

const limit = { timeout: 120_000 };
const suite = suiteLifetime();
let scratch: string;
let docker: TestDocker;

before(async () => {
  scratch = openScratch(suite, 'places');
  docker = await startDocker(suite, join(scratch, 'docker'));
  const context = join(scratch, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'tool'), 'x'.repeat(70_000));
  writeFileSync(join(context, 'data'), 'data');
  const dockerfile = 'FROM scratch\nCOPY tool /usr/bin/tool\nCOPY data /srv/data\nENTRYPOINT ["/usr/bin/tool"]\n';
  writeFileSync(join(context, 'Dockerfile'), dockerfile);
  const src = readdirSync(context);
  const progress = await docker.engine.buildImage({ context, src }, { t: 'app:1' });
  await new Promise((resolve, reject) =>
    docker.engine.modem.followProgress(progress, (error) => (error ? reject(error) : resolve(undefined))),
  );
}, limit);

/** Its standard output: the target and its digest. */
async function convert(...args: string[]): Promise<string> {
  const outcome = await run(args, { env: { DOCKER_HOST: `unix://${docker.address}`, TMPDIR: scratch } });
  assert.equal(outcome.status, 0, outcome.stderr);
  return outcome.stdout.trim();
}

async function command(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await execa(program, args, { timeout: 60_000, env: { TMPDIR: scratch } });
  return stdout;
}

function digestIn(line: string): string {
  return /@(sha256:[0-9a-f]{64})$/.exec(line)![1]!;
}

test('an image of the engine is the same image wherever it is written', limit, async (t) => {
  const registry = await startRegistry(t);
  const layout = `oci:${scratch}/layout:esgz`;
  const archive = `docker-archive:${scratch}/esgz.tar:app:archived`;
  const written = [layout, archive, `${registry.host}/app:esgz`, 'docker-daemon:app:esgz'];
  const digests = new Set<string>();
  for (const target of written) digests.add(digestIn(await convert('docker-daemon:app:1', target)));
  assert.equal(digests.size, 1);

  const [config, converted] = await Promise.all(
    ['app:1', 'app:esgz'].map((name) => docker.engine.getImage(name).inspect()),
  );
  assert.deepEqual(converted!.Config.Entrypoint, config!.Config.Entrypoint);
  assert.deepEqual(converted!.RepoTags, ['app:esgz']);
  assert.equal(converted!.RootFS.Layers?.length, 2);

  const fromLayout = digestIn(await convert(layout, `docker-archive:${scratch}/again.tar`));
  const fromArchive = digestIn(await convert(archive, `oci:${scratch}/again`));
  assert.equal(fromLayout, fromArchive);
  await docker.engine.loadImage(join(scratch, 'esgz.tar'));
  assert.deepEqual((await docker.engine.getImage('app:archived').inspect()).RepoTags?.sort(), [
    'app:archived',
    'app:esgz',
  ]);
  assert.deepEqual(
    readdirSync(scratch).filter((name) => /docker-(save|load)|partial/.test(name)),
    [],
  );
});

test('skopeo, buildah and umoci read what is written, and what they write is converted', limit, async () => {
  const layout = `${scratch}/peers`;
  const line = await convert('docker-daemon:app:1', `oci:${layout}:esgz`);
  const archive = join(scratch, 'peers.tar');
  await convert('docker-daemon:app:1', `docker-archive:${archive}:example.test/app:1`);

  const inspected = JSON.parse(await command('skopeo', 'inspect', '--raw', `oci:${layout}:esgz`));
  assert.equal(inspected.layers.length, 2);
  assert.match(inspected.layers[0].annotations['containerd.io/snapshot/stargz/toc.digest'], /^sha256:/);
  await command('skopeo', 'copy', `docker-archive:${archive}`, `oci:${layout}:skopeo`);
  await command('skopeo', 'copy', '--preserve-digests', `oci:${layout}:esgz`, `oci:${scratch}/copied:1`);
  await command('skopeo', 'copy', `oci:${layout}:esgz`, `docker-archive:${scratch}/skopeo.tar:app:skopeo`);
  await command('umoci', 'unpack', '--image', `${layout}:esgz`, join(scratch, 'bundle'));
  assert.equal(statSync(join(scratch, 'bundle/rootfs/usr/bin/tool')).size, 70_000);
  await command('umoci', 'tag', '--image', `${layout}:esgz`, 'umoci');
  const storage = ['--root', join(scratch, 'buildah'), '--storage-driver', 'vfs'];
  const pulled = await command('buildah', ...storage, 'pull', '--quiet', `docker-archive:${archive}`);
  await command('buildah', ...storage, 'push', pulled, `docker-archive:${scratch}/buildah.tar:app:buildah`);
  await command('buildah', ...storage, 'push', pulled, `oci:${scratch}/buildah-layout:1`);

  // The tree is the same, so a conversion of each is the conversion of the engine's image.
  const again = digestIn(await convert(`oci:${layout}:esgz`, `oci:${scratch}/again:1`));
  const sources = [
    `oci:${layout}:umoci`,
    `oci:${scratch}/copied:1`,
    `docker-archive:${scratch}/skopeo.tar`,
    `docker-archive:${scratch}/buildah.tar:app:buildah`,
    `oci:${scratch}/buildah-layout:1`,
  ];
  const layersOf = async (tag: string): Promise<string[]> =>
    JSON.parse(await command('skopeo', 'inspect', '--raw', `oci:${scratch}/again:${tag}`)).layers.map(
      ({ digest }: { digest: string }) => digest,
    );
  const wanted = await layersOf('1');
  assert.match(again, /^sha256:/);
  for (const [index, source] of sources.entries()) {
    await convert(source, `oci:${scratch}/again:s${index}`);
    assert.deepEqual(await layersOf(`s${index}`), wanted, source);
  }
  assert.equal(digestIn(line), digestIn(await convert('docker-daemon:app:1', `oci:${layout}:esgz2`)));
});

test('an image that the engine does not have, and an engine that does not run, are one line', limit, async () => {
  const env = { DOCKER_HOST: `unix://${docker.address}`, TMPDIR: scratch };
  const absent = await run(['docker-daemon:none:1', `oci:${scratch}/none`], { env });
  assert.equal(absent.status, 1);
  assert.equal(absent.stderr, 'convert: the Docker Engine has no image docker-daemon:none:1; see docker image ls\n');
  const away = await run(['docker-daemon:app:1', `oci:${scratch}/none`], { env: { DOCKER_HOST: 'unix:///nowhere' } });
  assert.match(
    away.stderr,
    /^convert: cannot reach the Docker Engine for docker-daemon:app:1 \(ENOENT\); start it, or set DOCKER_HOST\n$/,
  );
  const index = await run([`docker-daemon:app:1`, `docker-archive:${scratch}/a.tar`, '--all-platforms'], { env });
  assert.match(index.stderr, /^convert: docker-archive:.* holds one image: convert without --all-platforms\n$/);
});
