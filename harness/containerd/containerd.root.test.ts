import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { convertImage } from '../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { pushPlain, tinyImage } from '../../testkit/images.ts';
import type { Workload } from '../../workloads/workload.ts';
import { mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { unmountUnder } from '../host/mounts.ts';
import { findProcessesInCgroup, findProcessesNaming } from '../host/processes.ts';
import { type Registry, startRegistry } from '../registry/registry.ts';
import { Containerd } from './containerd.ts';
import type { PulledImage } from './image.ts';

const timeout = 60_000;
let scratch: string;
let registry: Registry;
let containerd: Containerd;
let image: PulledImage;
let count = 0;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'bench-containerd-'));
  const signal = AbortSignal.timeout(timeout);
  registry = await startRegistry({ dataDir: join(scratch, 'registry') }, signal);
  const reference = `${registry.address}/tiny:1`;
  await pushPlain({ reference, ...tinyImage });
  containerd = await Containerd.start(
    { directory: join(scratch, 'cell'), snapshotter: 'overlayfs', registryAddress: registry.address },
    signal,
  );
  await containerd.pull(reference, signal);
  image = await containerd.readImage(reference, signal);
});

after(async () => {
  await containerd?.stop();
  await registry?.close();
  await unmountUnder(scratch);
  await rm(scratch, { recursive: true, force: true });
});

function workload(overrides: Partial<Workload>): Workload {
  return {
    name: 'tiny',
    title: '',
    image: { name: 'tiny', directory: '', parent: undefined },
    command: undefined,
    env: [],
    stdin: undefined,
    ready: { kind: 'exit', stdout: 'hello\n' },
    timeoutMs: 20_000,
    ...overrides,
  };
}

/** Runs a workload until it is ready or ends, and checks that nothing is left of it. */
async function run(overrides: Partial<Workload>, signal: AbortSignal, of: PulledImage = image): Promise<void> {
  const id = `bench-test-${process.pid}-${++count}`;
  const container = await containerd.prepareContainer({ id, workload: workload(overrides) });
  try {
    await container.create(of, signal);
    await container.runUntilReady(signal);
  } finally {
    await container.stop();
    assert.deepEqual(await findProcessesInCgroup(id), []);
    assert.deepEqual(mountsUnder(join(scratch, 'cell')), []);
    await assert.rejects(containerd.client.snapshots.stat({ snapshotter: 'overlayfs', key: id }), {
      code: 'NOT_FOUND',
    });
  }
}

test("the image's own command runs to its end with the expected output", { timeout }, async (t) => {
  await run({}, t.signal);
  assert.equal(image.layers.length, 2);
  assert.ok(image.sizeBytes > 100_000);
});

for (const format of ['stargz', 'estargz'] as const) {
  test(`a converted ${format} image is pulled, unpacked and run as usual on overlayfs`, {
    timeout,
  }, async (t) => {
    const target = `${registry.address}/tiny:${format}`;
    const client = new RegistryClient();
    try {
      const source = parseReference(`${registry.address}/tiny:1`);
      await convertImage(client, source, parseReference(target), { format, signal: t.signal });
    } finally {
      await client.close();
    }
    await containerd.pull(target, t.signal);
    await run({}, t.signal, await containerd.readImage(target, t.signal));
  });
}

test('standard input reaches the workload and is closed', { timeout }, async (t) => {
  await run({ command: ['cat'], stdin: 'a\nb\n', ready: { kind: 'exit', stdout: 'a\nb\n' } }, t.signal);
});

test('the container has its own network with loopback, a hostname and its environment', { timeout }, async (t) => {
  const command = ['sh', '-c', 'ip -o link | cat -n | cat; echo $COLOUR $SHAPE'];
  const ready = { kind: 'exit', stdout: 'x' } as const;
  await assert.rejects(run({ command, env: ['SHAPE=round'], ready }, t.signal), (error: Error) => {
    assert.match(error.message, /lo: <LOOPBACK,UP/);
    assert.match(error.message, /red round/);
    assert.doesNotMatch(error.message, /eth0/);
    return true;
  });
});

test('readiness by line waits for the given occurrence, on either stream', { timeout }, async (t) => {
  const command = ['sh', '-c', 'echo ready one; sleep 0.2; echo ready two >&2; exec sleep 60'];
  await run({ command, ready: { kind: 'line', pattern: /ready/, occurrence: 2 } }, t.signal);
});

/** Listens on port 80 after a while. */
const server = [
  'sh',
  '-c',
  'mkdir /tmp/www; echo hello > /tmp/www/page; sleep 0.3; exec busybox httpd -f -p 80 -h /tmp/www',
];

test("readiness by HTTP and by port polls in the container's own network", { timeout }, async (t) => {
  await run({ command: server, ready: { kind: 'http', port: 80, path: '/page', body: 'hello\n' } }, t.signal);
  await run({ command: server, ready: { kind: 'port', port: 80 } }, t.signal);
});

test('an answer that is no 2xx, or none, is polled until the limit', { timeout }, async (t) => {
  for (const ready of [
    { kind: 'http', port: 80, path: '/absent' },
    { kind: 'http', port: 81, path: '/page' },
    { kind: 'port', port: 81 },
  ] as const) {
    await assert.rejects(run({ command: server, ready, timeoutMs: 1_500 }, t.signal), { code: 'timeout' });
  }
});

test('another answer than the expected one has failed', { timeout }, async (t) => {
  const ready = { kind: 'http', port: 80, path: '/page', body: 'bye' } as const;
  await assert.rejects(run({ command: server, ready }, t.signal), { code: 'not-ready', message: /hello.* instead of/ });
});

test('a container that ends before it answers ends the wait at once', { timeout }, async (t) => {
  const command = ['sh', '-c', 'echo no such port >&2; exit 4'];
  for (const ready of [{ kind: 'http', port: 80, path: '/' } as const, { kind: 'port', port: 80 } as const]) {
    // Its own limit is longer than the test's.
    await assert.rejects(run({ command, ready, timeoutMs: 600_000 }, t.signal), {
      code: 'not-ready',
      message: /status 4 .*no such port/,
    });
  }
});

test('a container that floods its output is awaited as any other, and ends with its last words', {
  timeout,
}, async (t) => {
  const flood = 'busybox yes | busybox head -c 100000000';
  const withoutLines = 'busybox head -c 100000000 /dev/zero';
  // Of a flood that a busy machine takes long over.
  const timeoutMs = timeout;
  const before = process.memoryUsage.rss();
  for (const output of [flood, `${withoutLines}; echo`]) {
    const command = ['sh', '-c', `${output}; echo ready`];
    await run({ command, ready: { kind: 'line', pattern: /ready/ }, timeoutMs }, t.signal);
  }
  const dies = {
    timeoutMs,
    command: ['sh', '-c', `${flood}; echo out of disk; exit 5`],
    ready: { kind: 'port', port: 1 },
  } as const;
  await assert.rejects(run(dies, t.signal), { code: 'not-ready', message: /status 5 .*out of disk/ });
  assert.ok(process.memoryUsage.rss() - before < 200_000_000);
});

test('sources are mounted as a fresh copy that the container may write to', { timeout }, async (t) => {
  const source = join(scratch, 'sources');
  await mkdir(join(source, 'inner'), { recursive: true });
  await writeFile(join(source, 'inner/main'), 'hello\n');
  const mounts = [{ source, target: '/src' }];
  const command = ['sh', '-c', 'cd /src; [ ! -e made ] && cat inner/main > made && cat made'];
  await run({ command, mounts }, t.signal);
  await run({ command, mounts }, t.signal);
  assert.deepEqual(await readdir(source), ['inner']);
});

test('a container that exits before its line fails with the end of its output', { timeout }, async (t) => {
  const command = ['sh', '-c', 'echo cannot open the database >&2; exit 3'];
  await assert.rejects(run({ command, ready: { kind: 'line', pattern: /ready/ } }, t.signal), {
    code: 'not-ready',
    message: /status 3 .*cannot open the database/,
  });
});

test('a container that exits non-zero or prints something else has failed', { timeout }, async (t) => {
  await assert.rejects(run({ command: ['sh', '-c', 'echo hello; exit 1'] }, t.signal), { code: 'not-ready' });
  await assert.rejects(run({ command: ['echo', 'bye'] }, t.signal), { code: 'not-ready', message: /"bye/ });
  await assert.rejects(run({ command: ['no-such-program'] }, t.signal), /no-such-program/);
});

test('a container that is never ready fails at its limit and is killed', { timeout }, async (t) => {
  const command = ['sh', '-c', 'echo starting; exec sleep 60'];
  const ready = { kind: 'line', pattern: /never/ } as const;
  await assert.rejects(run({ command, ready, timeoutMs: 1_000 }, t.signal), {
    code: 'timeout',
    message: /not ready after 1 s: starting/,
  });
});

test('an abort ends the wait and leaves nothing behind', { timeout }, async () => {
  const controller = new AbortController();
  const reason = new Error('interrupted');
  const running = run({ command: ['sleep', '60'], ready: { kind: 'line', pattern: /x/ } }, controller.signal);
  setTimeout(() => controller.abort(reason), 500);
  await assert.rejects(running, reason);
});

test('a layer that was downloaded does not count as lazy', { timeout }, async (t) => {
  const proof = await containerd.prove(image, t.signal);
  assert.equal(proof.layers, 2);
  assert.equal(proof.lazyLayers, 0);
  assert.equal(proof.downloaded.length, 2);
});

test('a pull fails if the registry is unreachable or has no such image', { timeout }, async (t) => {
  await assert.rejects(containerd.pull(`${registry.address}/tiny:absent`, t.signal), /not found/);
  await assert.rejects(containerd.pull('127.0.0.1:9/tiny:1', t.signal), /connection refused/);
});

test('a containerd that cannot start fails with the end of its log and leaves no process', { timeout }, async (t) => {
  const directory = join(scratch, 'broken');
  const command = join(import.meta.dirname, 'testing/broken-containerd.sh');
  const options = { directory, snapshotter: 'stargz', registryAddress: registry.address } as const;
  await assert.rejects(Containerd.start({ ...options, command }, t.signal), {
    code: 'start',
    message: /containerd ended while starting: no such plugin/,
  });
  await assert.rejects(Containerd.start({ ...options, command: '/bin/true' }, t.signal), /version of \/bin\/true/);
  assert.deepEqual(await findProcessesNaming(directory), []);
});
