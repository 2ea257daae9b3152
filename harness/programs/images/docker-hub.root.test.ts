import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { readEnvironment } from '../../../measurements/environment.ts';
import { readSamples } from '../../../measurements/sample.ts';
import { suiteLifetime, undoAfter } from '../../../testkit/lifetime.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { clearSandbox, openSandbox } from '../../cell/sandbox.ts';
import { type DockerHub, startDockerHub } from './testing/docker-hub.ts';

const timeout = 110_000;
const root = fileURLToPath(new URL('../../..', import.meta.url));
const suite = suiteLifetime();
const scratch = openScratch(suite, 'hub');
const stateDir = join(scratch, 'state');
let hub: DockerHub;

before(
  async () => {
    hub = await startDockerHub(suite, scratch, 100);
    undoAfter(suite, () => clearSandbox(openSandbox(stateDir)));
    await hub.pushOfficial('busybox:1.35', AbortSignal.timeout(timeout));
  },
  { timeout },
);

/** A process of its own, since this one serves what it pulls. */
async function run(program: 'images' | 'bench', args: readonly string[], login = hub.login('docker')) {
  const path = { images: 'harness/programs/images/cli.ts', bench: 'harness/main.ts' }[program];
  const places = ['--hosts-dir', hub.hostsDirectory, '--state-dir', stateDir];
  const command = [path, ...(program === 'bench' ? ['bench'] : []), ...args, ...places];
  const env = { DOCKER_CONFIG: login, NO_COLOR: '1' };
  return await execa(process.execPath, command, { cwd: root, env, reject: false, stdin: 'ignore', timeout });
}

const there = ['--registry', 'docker.io/bench', '--source', 'official', '--workloads', 'busybox'];
const variants = ['--variants', 'legacy,stargz,estargz'];
const cells = ['--modes', 'legacy,estargz', '--samples', '1'];

test('an official image is copied, converted and pushed, the tag last, and what is there is skipped', {
  timeout,
}, async () => {
  hub.beBusy(3);
  const first = await run('images', ['prepare', ...there, ...variants]);
  assert.equal(first.exitCode, 0, first.stderr);
  assert.deepEqual(await hub.tags('bench/busybox'), ['1.35-esgz', '1.35-org', '1.35-sgz']);
  assert.match(first.stdout, /^1 image to copy and 2 to convert: takes about [\d.]+ GB, [\d.]+ GB are free$/m);
  assert.match(first.stdout, /^docker\.io: \d+ of 100 manifest pulls left in 6 h; copying from it takes up to 2$/m);
  assert.match(first.stdout, /^docker\.io\/bench\/busybox:1\.35-esgz is pushed, sha256:[0-9a-f]{64}$/m);
  const puts = hub.simulator.journal.entries.filter(
    ({ method, target }) => method === 'PUT' && /\/v2\/bench/.test(target),
  );
  assert.match(puts.at(-1)!.target, /\/manifests\/1\.35-esgz\?/);
  assert.ok(hub.simulator.effective.has('busy'));
  assert.ok(hub.simulator.counts.cdn > 0 && hub.simulator.issuedTokens() > 0);

  const again = await run('images', ['prepare', ...there, ...variants]);
  assert.equal(again.exitCode, 0, again.stderr);
  assert.match(again.stdout, /^docker\.io\/bench\/busybox:1\.35-sgz is there$/m);
  assert.match(again.stdout, /\nall images are there, in docker\.io\/bench$/);
  const after = hub.simulator.journal.entries.filter(
    ({ method, target }) => method === 'PUT' && /\/v2\/bench/.test(target),
  );
  assert.equal(after.length, puts.length);
  assert.equal((await run('images', ['prepare', ...there, ...variants, '--replace'])).exitCode, 0);

  const listed = await run('images', ['list', ...there, ...variants]);
  assert.match(
    listed.stdout,
    /^docker\.io\/bench, MB +legacy +stargz +estargz\nbusybox +[\d.]+ +[\d.]+ +[\d.]+\n\ntags there end in -org \(legacy\), -sgz \(stargz\), -esgz \(estargz\)$/,
  );
  const verified = await run('images', ['verify', ...there, ...variants]);
  assert.equal(verified.exitCode, 0, verified.stdout + verified.stderr);
  assert.match(verified.stdout, /1\.35-esgz: right, 2 layers, \d+ chunks\n3 of 3 images are there, all of them right$/);
});

/** `details.connection` of environment.json. */
interface ConnectionRecord {
  readonly limits: readonly {
    readonly needed: number;
    readonly before: { readonly remaining: number };
    readonly after: { readonly remaining: number };
  }[];
  readonly roundTripMs: number;
  readonly bandwidthMbps: number;
}

test('a run from there is measured, and its record says what the registry allowed and how far it is', {
  timeout,
}, async () => {
  const out = join(scratch, 'results');
  const leftBefore = hub.limit.remaining;
  const { exitCode, stderr, stdout } = await run('bench', [...there, ...cells, '--out', out]);
  assert.equal(exitCode, 0, stderr + stdout);
  const [runId = ''] = await readdir(join(out, 'bench'));
  const path = join(out, 'bench', runId);
  const samples = await readSamples(path);
  const images = Object.fromEntries(samples.map(({ mode, image }) => [mode, image]));
  assert.deepEqual(images, {
    legacy: 'docker.io/library/busybox:1.35',
    estargz: 'docker.io/bench/busybox:1.35-esgz',
  });
  assert.ok(samples.every(({ ok, rttMs }) => ok && rttMs === undefined));
  assert.equal(samples.find(({ mode }) => mode === 'estargz')!.lazyLayers, 2);
  const environment = await readEnvironment(path);
  assert.equal(environment.link, null);
  const { registry, connection } = environment.details as { registry: unknown; connection: ConnectionRecord };
  const { limits, roundTripMs, bandwidthMbps } = connection;
  assert.ok(roundTripMs > 0 && bandwidthMbps > 0, JSON.stringify(connection));
  assert.deepEqual(registry, {
    name: 'docker.io/bench',
    originals: 'official',
    credentials: "Docker's configuration",
    server: hub.simulator.host,
  });
  const [limit] = limits;
  assert.equal(limit!.before.remaining, leftBefore);
  assert.equal(limit!.after.remaining, hub.limit.remaining);
  const used = leftBefore - hub.limit.remaining;
  assert.ok(used > 0 && used <= limit!.needed, `used ${used} of ${limit!.needed}`);
  assert.match(stderr, /docker\.io: \d+ of 100 manifest pulls left in 6 h; the plan needs \d+ manifest pulls/);
  const text = await readFile(join(path, 'environment.json'), 'utf8');
  assert.ok(!text.includes('correct horse') && !stderr.includes('correct horse'));
});

/** The last line of a failed run's output; it has left no results. */
async function refusal(args: readonly string[], login?: string): Promise<string> {
  const out = join(scratch, 'refused');
  const { exitCode, stderr } = await run('bench', [...there, ...cells, ...args, '--out', out], login);
  assert.equal(exitCode, 1, stderr);
  assert.equal(existsSync(join(out, 'bench')) ? (await readdir(join(out, 'bench'))).length : 0, 0);
  assert.ok(!stderr.includes('hunter2'), stderr);
  return stderr.trimEnd().split('\n').at(-1)!;
}

test('an image that cannot be had does not keep the others from being prepared', { timeout }, async () => {
  const workloads = ['--source', 'official', '--workloads', 'torch,redis,busybox', '--variants', 'legacy'];
  const { exitCode, stdout } = await run('images', ['prepare', ...workloads]);
  assert.equal(exitCode, 1);
  assert.match(stdout, /^torch: FAILED: there is no official image for the workload torch$/m);
  assert.match(stdout, /^redis: FAILED: there is no image docker\.io\/library\/redis:7\.0$/m);
  assert.match(stdout, /^busybox:legacy-[0-9a-f]{12} is there$/m);
  assert.match(stdout, /2 of 3 failed: redis, torch$/);
});

test('a set of converted images is copied as it is, and runs over the emulated link', { timeout }, async () => {
  const out = join(scratch, 'copied');
  const source = ['--source', 'docker.io/bench', '--workloads', 'busybox'];
  const { exitCode, stderr, stdout } = await run('bench', [...source, ...cells, '--rtt', '2ms', '--out', out]);
  assert.equal(exitCode, 0, stderr + stdout);
  const samples = await readSamples(join(out, 'bench', (await readdir(join(out, 'bench')))[0]!));
  assert.deepEqual(
    samples
      .map(({ ok, image = '' }) => `${ok} ${image.replace(/^[\d.:]+\//, '').replace(/[0-9a-f]{12}$/, 'KEY')}`)
      .sort(),
    ['true busybox:estargz-copied-KEY', 'true busybox:legacy-KEY'],
  );
  assert.ok(samples.every(({ wireBytes = 0, rttMs }) => wireBytes > 0 && rttMs === 2));
});

test('wrong credentials are said in one line before the first cell, though anybody may pull', { timeout }, async () => {
  const said = await refusal([], hub.login('wrong', 'hunter2'));
  const prepared = await run('images', ['prepare', ...there, ...variants], hub.login('wrong', 'hunter2'));
  assert.equal(prepared.exitCode, 1);
  assert.match(prepared.stderr, /^images: docker\.io refuses the credentials of bench [^\n]*$/);
  const anonymous = await run('images', ['prepare', ...there, '--variants', 'zstdchunked'], join(scratch, 'nobody'));
  assert.equal(anonymous.exitCode, 1);
  assert.match(
    anonymous.stderr,
    /^images: cannot push to docker\.io\/bench\/busybox: [^\n]*; docker login docker\.io as/,
  );
  assert.match(
    said,
    /^stargz-bench: docker\.io refuses the credentials of bench in Docker's configuration \(127\.0\.0\.3:\d+\); docker login docker\.io again/,
  );
});

test('a limit that is exhausted, or too low for the plan, is said before the first cell', { timeout }, async () => {
  hub.limit.remaining = 3;
  assert.match(
    await refusal([]),
    /^stargz-bench: docker\.io: 3 of 100 manifest pulls left in 6 h; this needs \d+ manifest pulls; docker login/,
  );
  hub.limit.remaining = 0;
  assert.match(await refusal([]), /^stargz-bench: docker\.io: 0 of 100 manifest pulls left in 6 h; this needs/);
  assert.equal(hub.limit.remaining, 0);
});

test('an image that is not there is named, with the command that prepares it', { timeout }, async () => {
  hub.limit.remaining = 100;
  const said = await refusal(['--modes', 'estargz-noopt']);
  assert.match(
    said,
    /there is no image docker\.io\/bench\/busybox:1\.35-esgz-noopt; npm run images -- prepare --registry/,
  );
});
