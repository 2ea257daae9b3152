import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openClient, type ServiceClient } from '../../snapshotter/api/client.ts';
import type { Info, Snapshots } from '../../snapshotter/api/types/snapshots.ts';
import { convertImage } from '../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { type Kubelet, openKubelet } from '../../snapshotter/testing/cri.ts';
import { pushImage } from '../../snapshotter/testing/image.ts';
import { Containerd } from '../containerd/containerd.ts';
import { pullByTransfer } from '../containerd/testing/transfer.ts';
import { unmountUnder } from '../host/mounts.ts';
import { findProcessesNaming, killProcesses } from '../host/processes.ts';
import { fillShell, pushImageOf } from '../images/tiny-image.ts';
import { mountNames } from '../cli/options.ts';
import { type Registry, startRegistry } from '../registry/registry.ts';
import { type SnapshotterDaemon, startDaemon } from '../cell/daemon.ts';
import { containerdVersions, unpackContainerd } from './testing/containerd-versions.ts';
import { type Gate, openGate } from './testing/gate.ts';

const limit = { timeout: 120_000 };
const snapshotter = 'stargz';
let scratch: string;
let registry: Registry;
let count = 0;

before(async () => {
  // Short: a socket's path has 107 bytes.
  scratch = await mkdtemp('/tmp/cds-');
  const signal = AbortSignal.timeout(limit.timeout);
  registry = await startRegistry({ dataDir: join(scratch, 'registry') }, signal);
  const image = (name: string) => `${registry.address}/${name}:1`;
  const write = (name: string, content: string | Buffer) => (root: string) => writeFile(join(root, name), content);
  const client = new RegistryClient();
  try {
    await pushImage(client, { name: image('pause'), layers: [fillShell], command: ['/bin/sleep', '1000'] }, signal);
    for (const [name, greeting] of Object.entries({ first: 'hello\n', second: 'good evening\n' })) {
      const layers = [fillShell, write('greeting', greeting), write('unread', randomBytes(3 << 20))];
      await pushImageOf(layers, image(`${name}-plain`), join(scratch, name), signal);
      const [from, to] = [parseReference(image(`${name}-plain`)), parseReference(image(name))];
      await convertImage(client, from, to, { format: 'estargz', signal });
    }
  } finally {
    await client.close();
  }
}, limit);

after(async () => {
  await registry?.close();
  // A daemon that left something mounted left a keeper with it.
  await killProcesses(await findProcessesNaming(scratch));
  await unmountUnder(scratch);
  await rm(scratch, { recursive: true, force: true });
});

/** CRI pulls by itself, and where it can, through the transfer service as well; layers are mounted either way. */
const settings = containerdVersions.flatMap((version) =>
  (version.major === 2 ? [false, true] : [false]).flatMap((pullsByTransfer) =>
    mountNames.map((backend) => ({
      version,
      pullsByTransfer,
      backend,
      title: `containerd ${version.line}${pullsByTransfer ? ', CRI through the transfer service' : ''}, ${backend}`,
    })),
  ),
);

// At once: each spends much of its time waiting.
describe('the snapshotter on each containerd', { concurrency: settings.length, timeout: 300_000 }, () => {
  for (const [index, { version, pullsByTransfer, backend, title }] of settings.entries()) {
    describe(title, { concurrency: 1, timeout: 240_000 }, () => {
      let directory: string;
      let gate: Gate;
      let daemon: SnapshotterDaemon;
      let containerd: Containerd;
      let kubelet: Kubelet;
      const image = (name: string) => `${gate.address}/${name}:1`;

      before(async () => {
        const signal = AbortSignal.timeout(limit.timeout);
        const command = await unpackContainerd(version, signal);
        directory = join(scratch, String(index));
        gate = await openGate(registry.address);
        await startSnapshotter(signal);
        containerd = await Containerd.start(
          {
            directory: join(directory, 'c'),
            command,
            snapshotter,
            snapshotterAddress: daemon.address,
            registryAddress: gate.address,
            pauseImage: image('pause'),
            pullsByTransfer,
          },
          signal,
        );
        kubelet = openKubelet(directory, containerd.address, containerd.address);
      }, limit);

      after(async () => {
        kubelet?.close();
        await containerd?.stop();
        await daemon?.stop();
        await gate?.shut();
      });

      /** Nothing is fetched that nobody reads. */
      async function startSnapshotter(signal: AbortSignal): Promise<void> {
        const config = {
          ...{ noprefetch: true, no_background_fetch: true, metrics_address: '127.0.0.1:0' },
          mount: { backend },
        };
        const compileCache = join(scratch, 'compile-cache');
        daemon = await startDaemon({ directory: join(directory, 's'), config, compileCache }, signal);
      }

      /** By containerd's own services, as the benchmark does. */
      async function run(reference: string, command: readonly string[], stdout: string, signal: AbortSignal) {
        const workload = {
          name: 'tiny',
          title: '',
          image: { name: 'tiny', directory: '', parent: undefined },
          command,
          env: [],
          stdin: undefined,
          ready: { kind: 'exit', stdout } as const,
          timeoutMs: 60_000,
        };
        const id = `e2e-${process.pid}-${++count}`;
        const container = await containerd.prepareContainer({ id, workload });
        try {
          await container.create(await containerd.readImage(reference, signal), signal);
          await container.runUntilReady(signal);
        } finally {
          await container.stop();
        }
      }

      async function assertLazy(reference: string, signal: AbortSignal): Promise<void> {
        const proof = await containerd.prove(await containerd.readImage(reference, signal), signal);
        assert.deepEqual(proof, { layers: 3, lazyLayers: 3, downloaded: [] });
      }

      /** The layers that the daemon says are mounted, and that are. */
      async function mountedLayers(): Promise<string[]> {
        const layers = (await (await fetch(`http://${daemon!.status().listening.metrics}/debug/layers`)).json()) as {
          path: string;
          face: string;
        }[];
        for (const { path, face } of layers) {
          assert.equal(face, backend);
          assert.ok((await readdir(path)).length > 0);
        }
        return layers.map(({ path }) => path);
      }

      test('its package is what runs', limit, async (t) => {
        const { version: answered } = await containerd.client.version.version({}, { signal: t.signal });
        assert.match(answered.replace(/^v/, ''), version.pattern);
      });

      test('an image that CRI pulls is lazy, and runs until it is ready', limit, async (t) => {
        await containerd.pull(image('first'), t.signal);
        await assertLazy(image('first'), t.signal);
        assert.equal((await mountedLayers()).length, 3);
        await run(image('first'), ['cat', '/greeting'], 'hello\n', t.signal);
      });

      test('a pod of it runs, beside a pause image that is not lazy', limit, async () => {
        await kubelet.pull(image('pause'));
        const { exitCode, output } = await kubelet.run(image('first'), ['sh', '-c', 'cat /greeting; exit 7']);
        assert.deepEqual([exitCode, output], [7, 'hello\n']);
      });

      if (version.major === 2) {
        test('a pull through the transfer service is as lazy', limit, async (t) => {
          const reference = image('second');
          const pull = { address: containerd.address, namespace: 'k8s.io', reference, snapshotter };
          await pullByTransfer(pull, t.signal);
          await assertLazy(reference, t.signal);
          await run(reference, ['cat', '/greeting'], 'good evening\n', t.signal);
          assert.equal((await mountedLayers()).length, 6);
          // CRI has heard of it meanwhile and given it names of its own.
          await kubelet.remove(reference);
          await until(async () => assert.equal((await mountedLayers()).length, 3));
        });
      }

      if (version.major === 2) {
        test(
          'two namespaces that pull one image at once have a snapshot of each layer, both on one mount',
          limit,
          async (t) => {
            const reference = image('second');
            const namespaces = ['one', 'two'];
            const { address } = containerd;
            await Promise.all(
              namespaces.map((namespace) => pullByTransfer({ address, namespace, reference, snapshotter }, t.signal)),
            );
            const images = openClient('containerd.services.images.v1.Images', address);
            const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', address);
            try {
              for (const namespace of namespaces) {
                const infos = await listAll(snapshots, namespace);
                assert.deepEqual(
                  infos.map(({ kind }) => kind),
                  ['COMMITTED', 'COMMITTED', 'COMMITTED'],
                );
              }
              assert.equal((await mountedLayers()).length, 6);
              await images.delete({ name: reference, sync: true }, { namespace: 'one' });
              await until(async () => assert.deepEqual(await listAll(snapshots, 'one'), []));
              // The other one's stand.
              assert.equal((await listAll(snapshots, 'two')).length, 3);
              assert.equal((await mountedLayers()).length, 6);
              await images.delete({ name: reference, sync: true }, { namespace: 'two' });
              await until(async () => assert.equal((await mountedLayers()).length, 3));
            } finally {
              images.close();
              snapshots.close();
            }
          },
        );
      }

      test('a restarted daemon serves what it had fetched, without a registry', limit, async (t) => {
        await daemon.stop();
        await gate.shut();
        await startSnapshotter(t.signal);
        await until(() => listAll(containerd.client.snapshots));
        await assertLazy(image('first'), t.signal);
        await run(image('first'), ['cat', '/greeting'], 'hello\n', t.signal);
        const unread = run(image('first'), ['cat', '/unread'], '', t.signal);
        await assert.rejects(unread, { code: 'not-ready', message: /Input\/output error|I\/O error/ });

        await gate.open();
        await run(
          image('first'),
          ['sh', '-c', 'cat /unread | cat | cat >/dev/null && cat /greeting'],
          'hello\n',
          t.signal,
        );
      });

      test('of removed images no snapshot is left and no layer mounted', limit, async () => {
        assert.equal((await mountedLayers()).length, 3);
        for (const name of ['first', 'pause']) await kubelet.remove(image(name));
        const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
        try {
          await until(async () => assert.deepEqual(await listAll(snapshots), []));
          await snapshots.cleanup({});
          assert.deepEqual(await mountedLayers(), []);
          assert.deepEqual(await readdir(join(directory, 's/root/snapshots')), []);
        } finally {
          snapshots.close();
        }
      });
    });
  }
});

async function listAll(snapshots: ServiceClient<Snapshots>, namespace?: string): Promise<Info[]> {
  const infos: Info[] = [];
  for await (const { info } of snapshots.list({ snapshotter }, { namespace })) infos.push(...info);
  return infos;
}

/** containerd dials a restarted daemon again after a while, and collects what is unused in its own time. */
async function until(check: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await check();
      return;
    } catch (error) {
      if (tries === 300) throw error;
      await sleep(50);
    }
  }
}
