import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { openClient, type ServiceClient } from '../../snapshotter/api/client.ts';
import type { Info, Snapshots } from '../../snapshotter/api/types/snapshots.ts';
import { startContainerd } from '../../testkit/containerd.ts';
import { startDaemon, type TestDaemon } from '../../testkit/daemon.ts';
import { type Gate, openGate } from '../../testkit/gate.ts';
import { pushLazy, pushPause, writeInto } from '../../testkit/images.ts';
import { type Kubelet, openKubelet } from '../../testkit/kubelet.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { until } from '../../testkit/until.ts';
import { mountNames } from '../cli/options.ts';
import type { Containerd } from '../containerd/containerd.ts';
import { pullByTransfer } from '../containerd/testing/transfer.ts';
import { fillShell } from '../images/synthetic-image.ts';
import { containerdVersions, unpackContainerd } from './testing/containerd-versions.ts';

const limit = { timeout: 120_000 };
/** containerd dials a restarted daemon with a backoff, and collects garbage in its own time. */
const soon = { limitMs: 20_000 };
const snapshotter = 'stargz';
const suite = suiteLifetime();
const scratch = openScratch(suite, 'cds');
let registry: TestRegistry;
let count = 0;

before(async () => {
  registry = await startRegistry(suite);
  await pushPause(`${registry.host}/pause:1`);
  for (const [name, greeting] of Object.entries({ first: 'hello\n', second: 'good evening\n' })) {
    const layers = [fillShell, writeInto('greeting', greeting), writeInto('unread', pseudoRandomBytes(3 << 20, 1))];
    await pushLazy({ reference: `${registry.host}/${name}:1`, layers });
  }
}, limit);

/** Where it can, CRI pulls both by itself and through the transfer service: layers are mounted lazily either way. */
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

// Concurrently: each mostly waits.
describe('the snapshotter on each containerd', { concurrency: settings.length, timeout: 300_000 }, () => {
  for (const [index, { version, pullsByTransfer, backend, title }] of settings.entries()) {
    describe(title, { concurrency: 1, timeout: 240_000 }, () => {
      const lifetime = suiteLifetime();
      const directory = join(scratch, String(index));
      let gate: Gate;
      let daemon: TestDaemon;
      let containerd: Containerd;
      let kubelet: Kubelet;
      const image = (name: string) => `${gate.address}/${name}:1`;

      before(async () => {
        const command = await unpackContainerd(version, AbortSignal.timeout(limit.timeout));
        gate = await openGate(lifetime, registry.host);
        daemon = await startSnapshotter();
        const started = await startContainerd(lifetime, join(directory, 'c'), {
          command,
          snapshotter,
          snapshotterAddress: daemon.address,
          registryAddress: gate.address,
          pauseImage: image('pause'),
          pullsByTransfer,
        });
        containerd = started.containerd;
        kubelet = openKubelet(lifetime, directory, containerd.address, containerd.address);
      }, limit);

      /** Fetches nothing but what is read. */
      const startSnapshotter = () =>
        startDaemon(lifetime, join(directory, 's'), {
          config: {
            ...{ noprefetch: true, no_background_fetch: true, metrics_address: '127.0.0.1:0' },
            mount: { backend },
          },
        });

      /** Runs a container through containerd's services, as the benchmark does. */
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

      /** The layers that the daemon reports as mounted; checks that they are. */
      async function mountedLayers(): Promise<string[]> {
        const layers = (await (await fetch(`http://${daemon.status().listening.metrics}/debug/layers`)).json()) as {
          digest: string;
          paths: string[];
          face: string;
        }[];
        for (const { paths, face } of layers) {
          assert.equal(face, backend);
          assert.ok(paths.length > 0);
          for (const path of paths) assert.ok((await readdir(path)).length > 0);
        }
        return layers.map(({ digest }) => digest);
      }

      test('the version of the package runs', limit, async (t) => {
        const { version: answered } = await containerd.client.version.version({}, { signal: t.signal });
        assert.match(answered.replace(/^v/, ''), version.pattern);
      });

      test('an image pulled by CRI is lazy, and runs until it is ready', limit, async (t) => {
        await containerd.pull(image('first'), t.signal);
        await assertLazy(image('first'), t.signal);
        assert.equal((await mountedLayers()).length, 3);
        await run(image('first'), ['cat', '/greeting'], 'hello\n', t.signal);
      });

      test('a pod runs with a pause image that is not lazy', limit, async () => {
        await kubelet.pull(image('pause'));
        const { exitCode, output } = await kubelet.run(image('first'), ['sh', '-c', 'cat /greeting; exit 7']);
        assert.deepEqual([exitCode, output], [7, 'hello\n']);
      });

      if (version.major === 2) {
        test('a pull through the transfer service is lazy too', limit, async (t) => {
          const reference = image('second');
          const pull = { address: containerd.address, namespace: 'k8s.io', reference, snapshotter };
          await pullByTransfer(pull, t.signal);
          await assertLazy(reference, t.signal);
          await run(reference, ['cat', '/greeting'], 'good evening\n', t.signal);
          assert.equal((await mountedLayers()).length, 6);
          // By now CRI has seen the image and given it names of its own.
          await kubelet.remove(reference);
          await until('the removal of three layers', async () => (await mountedLayers()).length === 3, soon);
        });
      }

      if (version.major === 2) {
        test(
          'two namespaces that pull an image at once have their own snapshots on shared mounts',
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
              await until(
                'the removal of its snapshots',
                async () => (await listAll(snapshots, 'one')).length === 0,
                soon,
              );
              // Those of the other namespace stay.
              assert.equal((await listAll(snapshots, 'two')).length, 3);
              assert.equal((await mountedLayers()).length, 6);
              await images.delete({ name: reference, sync: true }, { namespace: 'two' });
              await until('the removal of three layers', async () => (await mountedLayers()).length === 3, soon);
            } finally {
              images.close();
              snapshots.close();
            }
          },
        );
      }

      test('a restarted daemon serves what it had fetched without the registry', limit, async (t) => {
        await daemon.stop();
        await gate.refuse();
        daemon = await startSnapshotter();
        await until('an answer of the new daemon', () => listAll(containerd.client.snapshots), soon);
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

      test('removed images leave no snapshot and no mounted layer', limit, async () => {
        assert.equal((await mountedLayers()).length, 3);
        for (const name of ['first', 'pause']) await kubelet.remove(image(name));
        const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
        try {
          await until('the removal of all snapshots', async () => (await listAll(snapshots)).length === 0, soon);
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
