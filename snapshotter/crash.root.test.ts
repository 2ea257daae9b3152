import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openClient } from './api/client.ts';
import { convertImage } from './convert/image.ts';
import { findKeeper } from './keeper/keeper.ts';
import { RegistryClient } from './registry/client.ts';
import { digestOf } from './registry/digest.ts';
import { parseReference } from './registry/reference.ts';
import { startDockerRegistry, type TestRegistry } from './registry/testing/docker-registry.ts';
import { mountAt, mountsBelow, unmount } from './service/testing/mounts.ts';
import { startDaemon, type TestProcess } from './service/testing/process.ts';
import { pushImage } from './testing/image.ts';

/**
 * What readers see when the daemon is killed and started again: the bytes of the image, or for reads under way an error.
 * Never other bytes, and never a wait without end.
 */

const limit = { timeout: 120_000 };
const fileCount = 40;
const contents = Array.from({ length: fileCount }, (_, index) => randomBytes(20_000 + index * 9000));
const expected = contents.map((content) => digestOf(content).slice('sha256:'.length));

describe('a daemon that is killed', { timeout: 400_000 }, () => {
  const client = new RegistryClient();
  const scratch = mkdtempSync('/tmp/crash-');
  let registry: TestRegistry;
  let gate: Gate;
  let image: string;
  let layer: string;

  before(async () => {
    registry = await startDockerRegistry();
    const signal = AbortSignal.timeout(60_000);
    const fill = (root: string) => {
      for (const [index, content] of contents.entries()) writeFileSync(join(root, `f${index}`), content);
    };
    const plain = parseReference(`${registry.host}/files:plain`);
    const lazy = parseReference(`${registry.host}/files:lazy`);
    await pushImage(client, { name: `${registry.host}/files:plain`, layers: [fill], command: ['/x'] }, signal);
    await convertImage(client, plain, lazy, { format: 'estargz', chunkSizeBytes: 32_768, signal });
    const { bytes } = await client.fetchManifest(lazy, signal);
    layer = (JSON.parse(bytes.toString()) as { layers: { digest: string }[] }).layers[0]!.digest;
    gate = await openGate(registry.host);
    image = `127.0.0.1:${gate.port}/files:lazy`;
  }, limit);

  after(async () => {
    gate?.close();
    await client.close();
    await registry?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  for (const backend of ['fuse', 'erofs'] as const) {
    const config =
      'disable_verification = true\nno_background_fetch = true\nnoprefetch = true\n' +
      `[cache]\nadaptive_fetch = false\n[mount]\nbackend = "${backend}"\n`;

    /** A daemon, and a container's root file system on the one lazy layer. */
    async function setUp(t: TestContext): Promise<Bench> {
      gate.open();
      const directory = mkdtempSync(join(scratch, `${backend}-`));
      const bench: Bench = { directory, root: join(directory, 'c'), daemon: await startDaemon(directory, { config }) };
      t.after(() => tearDown(bench));
      const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', bench.daemon.address);
      const labels = {
        'containerd.io/snapshot.ref': 'layer',
        'containerd.io/snapshot/cri.image-ref': image,
        'containerd.io/snapshot/cri.layer-digest': layer,
      };
      await assert.rejects(
        snapshots.prepare({ key: 'extract', labels }),
        { code: 'ALREADY_EXISTS' },
        bench.daemon.log(),
      );
      const { mounts } = await snapshots.prepare({ key: 'container', parent: 'layer' });
      snapshots.close();
      mkdirSync(bench.root);
      await mountAt(mounts, bench.root);
      return bench;
    }

    const restart = async (bench: Bench) => {
      bench.daemon = await startDaemon(bench.directory, { config });
    };

    test(`${backend}: reads of what is there go on, reads of holes wait for the next daemon`, limit, async (t) => {
      const bench = await setUp(t);
      assert.equal(await sum(t, bench, 0), expected[0]);
      await bench.daemon.stop('SIGKILL');
      assert.equal(await Promise.race([sum(t, bench, 0), delay(5000, 'late')]), expected[0]);
      const waiting = [sum(t, bench, 5), sum(t, bench, 6)];
      assert.equal(await Promise.race([...waiting, delay(300, 'waits')]), 'waits');
      await restart(bench);
      assert.deepEqual(await Promise.all(waiting), [expected[5], expected[6]], bench.daemon.log());
      assert.deepEqual(await sumAll(t, bench), expected);
    });

    test(
      `${backend}: a read that waited for the registry when the daemon was killed succeeds or fails`,
      limit,
      async (t) => {
        const bench = await setUp(t);
        gate.shut();
        const read = sum(t, bench, 9);
        await delay(300);
        await bench.daemon.stop('SIGKILL');
        gate.open();
        await restart(bench);
        assert.ok([expected[9], 'failed'].includes(await read));
        assert.deepEqual(await sumAll(t, bench), expected, bench.daemon.log());
      },
    );

    test(`${backend}: SIGTERM leaves mounts to the next daemon, SIGINT takes all down`, limit, async (t) => {
      const bench = await setUp(t);
      assert.equal(await bench.daemon.stop('SIGTERM'), 0);
      const waiting = sum(t, bench, 3);
      await restart(bench);
      assert.equal(await waiting, expected[3]);
      assert.deepEqual(await sumAll(t, bench), expected);
      await unmount(bench.root);
      assert.equal(await bench.daemon.stop('SIGINT'), 0);
      assert.deepEqual(mountsBelow(bench.directory), []);
      assert.equal(await findKeeper(join(bench.directory, 'root')), undefined);
    });

    test(
      `${backend}: a keeper that dies is replaced, and the next death of the daemon is survived`,
      limit,
      async (t) => {
        const bench = await setUp(t);
        const keepers = () =>
          [...bench.daemon.log().matchAll(/"keeper":(\d+),"msg":"mounts outlive/g)].map((match) => match[1]);
        while (keepers().length === 0) await delay(50);
        process.kill(Number(keepers()[0]), 'SIGKILL');
        while (keepers().length < 2) await delay(50);
        await bench.daemon.stop('SIGKILL');
        const waiting = sum(t, bench, 8);
        await restart(bench);
        assert.equal(await waiting, expected[8]);
      },
    );

    test(`${backend}: after the daemon and its keeper both died, new mounts are right`, limit, async (t) => {
      const bench = await setUp(t);
      while (!bench.daemon.log().includes('mounts outlive')) await delay(50);
      const keeper = Number(/"keeper":(\d+)/.exec(bench.daemon.log())![1]);
      process.kill(bench.daemon.pid, 'SIGKILL');
      process.kill(keeper, 'SIGKILL');
      await bench.daemon.stop('SIGKILL');
      await restart(bench);
      // EROFS: what the old container had not read meanwhile is guarded again. FUSE: its connection is gone.
      assert.equal(await sum(t, bench, 7), backend === 'erofs' ? expected[7] : 'failed');
      await unmount(bench.root);
      const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', bench.daemon.address);
      await mountAt((await snapshots.mounts({ key: 'container' })).mounts, bench.root);
      snapshots.close();
      assert.deepEqual(await sumAll(t, bench), expected);
    });

    test(`${backend}: killed at random while many read`, limit, async (t) => {
      const bench = await setUp(t);
      for (let round = 0; round < 3; round++) {
        const reads = contents.map((_, index) => sum(t, bench, index));
        await delay(Math.random() * 150);
        await bench.daemon.stop('SIGKILL');
        await restart(bench);
        for (const [index, read] of reads.entries())
          assert.ok([expected[index], 'failed'].includes(await read), `file ${index} in round ${round}`);
      }
      assert.deepEqual(await sumAll(t, bench), expected, bench.daemon.log());
    });
  }
});

interface Bench {
  readonly directory: string;
  readonly root: string;
  daemon: TestProcess;
}

async function tearDown({ directory, root, daemon }: Bench): Promise<void> {
  if (mountsBelow(root).length > 0) await unmount(root).catch(() => {});
  await daemon.stop('SIGINT');
  await (await findKeeper(join(directory, 'root')))?.keeper.dismiss();
  for (const point of mountsBelow(directory)) await unmount(point);
}

/** The digest of a file by a process of its own, or 'failed' where it could not be read. */
function sum(t: TestContext, { root }: Bench, index: number): Promise<string> {
  const child: ChildProcess = spawn('sha256sum', [join(root, `f${index}`)], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout!.on('data', (piece) => {
    text += String(piece);
  });
  return new Promise((resolve) => child.once('close', (code) => resolve(code === 0 ? text.split(' ')[0]! : 'failed')));
}

function sumAll(t: TestContext, bench: Bench): Promise<string[]> {
  return Promise.all(contents.map((_, index) => sum(t, bench, index)));
}

interface Gate {
  readonly port: number;
  open(): void;
  /** What is under way stops, and so does what comes. */
  shut(): void;
  close(): void;
}

/** The registry behind a door: shut, connections are taken and nothing comes back. */
async function openGate(target: string): Promise<Gate> {
  const [host, port] = target.split(':') as [string, string];
  const sockets = new Set<Socket>();
  let isOpen = true;
  const server: Server = createServer((socket) => {
    const upstream = connect(Number(port), host);
    for (const one of [socket, upstream]) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        socket.destroy();
        upstream.destroy();
      });
    }
    if (!isOpen) upstream.pause();
    socket.pipe(upstream).pipe(socket);
    if (!isOpen) upstream.unpipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    open() {
      // Those that waited are lost: whoever still wants something dials again.
      if (!isOpen) for (const socket of sockets) socket.destroy();
      isOpen = true;
    },
    shut() {
      isOpen = false;
      for (const socket of sockets) socket.unpipe();
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
