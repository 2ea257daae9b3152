/** The user's own image, from the local Docker Engine to the verdict, and what cannot be measured of it. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'csv-parse/sync';
import { parseAccesses } from '../../snapshotter/convert/accesses.ts';
import { run as convert } from '../../snapshotter/convert/testing/command.ts';
import { writeLayoutImage } from '../../snapshotter/images/testing/layout-image.ts';
import { encodeFile } from '../../snapshotter/tar/tar-header.ts';
import { startDocker, type TestDocker } from '../../testkit/docker.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { runCommand } from '../bench/command.ts';
import { mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { findProcessesNaming } from '../host/processes.ts';
import { realDependencies } from './dependencies.ts';

const limit = { timeout: 120_000 };
const suite = suiteLifetime();
const dockerHost = process.env.DOCKER_HOST;
let scratch: string;
let docker: TestDocker;
let registry: TestRegistry;
let runCount = 0;

const dockerfile = `FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
COPY passwd group /etc/
COPY unused /srv/unused
COPY used serve /srv/
USER app
ENTRYPOINT ["/bin/sh", "/srv/serve"]
`;
const serve = `busybox cat /srv/used > /dev/null
echo "user $(busybox id -u), group $(busybox id -g), \${GREETING:-no greeting}, $*"
exec busybox httpd -f -p 8080 -h /srv
`;

before(async () => {
  scratch = openScratch(suite, 'imported');
  registry = await startRegistry(suite);
  docker = await startDocker(suite, join(scratch, 'docker'));
  process.env.DOCKER_HOST = `unix://${docker.address}`;
  const context = join(scratch, 'context');
  mkdirSync(context);
  copyFileSync('/bin/busybox', join(context, 'busybox'));
  const files = {
    Dockerfile: dockerfile,
    serve,
    passwd: 'app:x:1234:1235::/srv:/bin/sh\n',
    group: 'app:x:1235:\n',
    used: pseudoRandomBytes(300_000, 1),
    unused: pseudoRandomBytes(6_000_000, 2),
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(context, name), content);
  const progress = await docker.engine.buildImage({ context, src: readdirSync(context) }, { t: 'shop/app:1' });
  await new Promise((resolve, reject) =>
    docker.engine.modem.followProgress(progress, (error) => (error ? reject(error) : resolve(undefined))),
  );
}, limit);

after(() => {
  if (dockerHost === undefined) delete process.env.DOCKER_HOST;
  else process.env.DOCKER_HOST = dockerHost;
});

/** Without a link to wait for. The state directory is shared, so an image is copied and converted once. */
async function bench(...argv: readonly string[]) {
  const output = { stdout: '', stderr: '' };
  const collect = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => {
      output[name] += text;
    },
    columns: 80,
    isTTY: false,
  });
  const outDir = join(scratch, `out-${++runCount}`);
  mkdirSync(outDir);
  const link = ['--rtt', '0', '--bandwidth', 'unlimited', '--samples', '1'];
  const places = ['--state-dir', join(scratch, 'state'), '--out', outDir];
  const status = await runCommand([...argv, ...link, ...places], realDependencies, {
    ...{ stdout: collect('stdout'), stderr: collect('stderr'), env: {} },
    ...{ signal: AbortSignal.timeout(limit.timeout), now: () => performance.now() },
  });
  const written = readdirSync(outDir, { recursive: true, encoding: 'utf8' });
  const read = (name: string) => readFileSync(join(outDir, written.find((path) => path.endsWith(`/${name}`)) ?? name));
  return { ...output, status, written, read: (name: string) => read(name).toString() };
}

const image = ['--image', 'docker-daemon:shop/app:1'];

test('an image of the local engine is measured by its name, to the verdict', limit, async () => {
  const ready = ['--ready-line', '^user 1234, group 1235, hello, a b$'];
  const run = await bench(...image, ...ready, '--env', 'GREETING=hello', '--command', "'a b'");
  assert.equal(run.status, 0, run.stderr);
  const rows = parse(run.read('samples.csv'), { columns: true }) as Record<string, string>[];
  assert.deepEqual(rows.map(({ workload, mode }) => `${workload} ${mode}`).sort(), [
    'app estargz',
    'app legacy',
    'app stargz',
  ]);
  for (const { mode, layers, lazy_layers } of rows) assert.equal(lazy_layers, mode === 'legacy' ? '0' : layers);
  const verdict = run.read('verdict.txt');
  if (process.env.SHOW) console.log(run.stdout);
  assert.ok(run.stdout.includes(verdict), run.stdout);
  assert.match(
    verdict,
    /^Verdict on docker-daemon:shop\/app:1, 0 ms RTT, unlimited\n\n {2}(legacy|stargz|estargz) is the fastest: ready in \d/,
  );
  assert.match(verdict, /\n {2}Until ready, e?stargz fetches \d\.\d MB of \d\.\d MB, \d+ % of the image\.\n/);
  assert.match(
    verdict,
    /\n {4}bandwidth +(any|none|below .*|above .*) +at 0 ms RTT\n {4}round trip .*\n {4}share read /,
  );

  const record = join(scratch, 'accesses.jsonl');
  writeFileSync(record, run.read('accesses-app.jsonl'));
  const accesses = parseAccesses(run.read('accesses-app.jsonl'), record);
  const paths = accesses.map(({ path }) => path);
  assert.ok(paths.includes('srv/used') && paths.includes('bin/sh') && !paths.includes('srv/unused'));
  const { RootFS } = await docker.engine.getImage('shop/app:1').inspect();
  assert.ok(
    accesses.every(({ layer }) => RootFS.Layers!.includes(layer)),
    'by the layers as the engine knows them',
  );
  const converted = await convert(['docker-daemon:shop/app:1', `oci:${scratch}/esgz:1`, '--record-in', record]);
  assert.equal(converted.status, 0, converted.stderr);
  await assertNothingLeft();
});

const app = 'cannot record the accesses of app: app';
const failing: [string, readonly string[], RegExp][] = [
  [
    'an engine does not have it',
    ['--image', 'docker-daemon:none:1'],
    /the Docker Engine has no image docker-daemon:none:1; see docker image ls$/,
  ],
  [
    'no registry is there',
    ['--image', '127.0.0.1:1/app:1'],
    /127\.0\.0\.1:1.*check the name, the port and the network$/,
  ],
  [
    'a registry does not have it',
    ['--image', 'REGISTRY/none:1'],
    /there is no image 127\.0\.0\.1:\d+\/none:1; check its name and tag$/,
  ],
  [
    'there is no such file',
    ['--image', 'docker-archive:SCRATCH/none.tar'],
    /cannot read \S+none\.tar \(ENOENT\) for docker-archive:.*; check the path$/,
  ],
  [
    'it is for another architecture',
    ['--image', 'oci:SCRATCH/riscv'],
    /cannot run oci:\S+: it is not built for linux\/amd64; build it with --platform linux\/amd64/,
  ],
  [
    'it exits at once',
    [...image, '--ready-port', '8080', '--entrypoint', 'sh -c', '--command', "'echo no database >&2; exit 3'"],
    new RegExp(`${app} ended with status 3 before it was ready: no database`),
  ],
  [
    'its program is missing',
    [...image, '--ready-exit', '--entrypoint', '/bin/none'],
    /cannot record the accesses of app: .*\/bin\/none.*no such file/,
  ],
  [
    'it never gets ready',
    [...image, '--ready-port', '1', '--ready-limit', '1s'],
    new RegExp(`${app} in \\S+ was not ready after 1 s: `),
  ],
  [
    'nothing says when it is ready',
    [...image, '--ready-limit', '1s'],
    new RegExp(
      `${app} still runs after 1 s, and nothing says when it is ready: .*; name its sign with --ready-line, --ready-http or --ready-port`,
    ),
  ],
  [
    'it floods its output',
    [...image, '--ready-line', '^never$', '--ready-limit', '10s', '--entrypoint', 'busybox yes'],
    new RegExp(`${app} in \\S+ was not ready after 10 s: y `),
  ],
  [
    'it has no such user',
    [...image, '--ready-exit', '--user', 'nobody'],
    /cannot run the image: it has no user "nobody"; name one with --user UID:GID/,
  ],
];

for (const [what, argv, line] of failing) {
  test(`one line says it before the first cell, and nothing is left: ${what}`, limit, async () => {
    await writeLayoutImage(join(scratch, 'riscv'), [encodeFile('a', Buffer.from('x'))], {
      platform: { os: 'linux', architecture: 'riscv64' },
    });
    const run = await bench(...argv.map((text) => text.replace('SCRATCH', scratch).replace('REGISTRY', registry.host)));
    assert.equal(run.status, 1);
    const last = run.stderr.trimEnd().split('\n').at(-1)!;
    if (process.env.SHOW) console.log(last);
    assert.match(last, /^stargz-bench: /);
    assert.match(last, line);
    assert.ok(last.length < 1000, `${last.length} characters`);
    assert.deepEqual([run.stdout, run.written], ['', []]);
    await assertNothingLeft();
  });
}

async function assertNothingLeft(): Promise<void> {
  const state = join(scratch, 'state');
  assert.deepEqual(mountsUnder(state), []);
  assert.deepEqual(await findProcessesNaming(state), []);
}
