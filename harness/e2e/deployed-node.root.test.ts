import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, stringify, type TomlTable } from 'smol-toml';
import { parseAllDocuments } from 'yaml';
import { openClient } from '../../snapshotter/api/client.ts';
import { startDaemon } from '../../testkit/daemon.ts';
import { pushLazy, pushPause } from '../../testkit/images.ts';
import { openKubelet, type PodClass } from '../../testkit/kubelet.ts';
import { suiteLifetime, undoAfter } from '../../testkit/lifetime.ts';
import { logPathOf, ownProcess } from '../../testkit/process.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { until } from '../../testkit/until.ts';
import { Service } from '../host/service.ts';
import { fillShell } from '../images/synthetic-image.ts';
import { type ContainerdVersion, containerdVersions, unpackContainerd } from './testing/containerd-versions.ts';

const limit = { timeout: 120_000 };
const deployDir = fileURLToPath(new URL('../../snapshotter/deploy', import.meta.url));
/** The DaemonSet needs options that 1.6 lacks; see deploy/README.md. */
const versions = containerdVersions.filter(({ line }) => line !== '1.6');

const suite = suiteLifetime();
const scratch = openScratch(suite, 'nod');
let registry: TestRegistry;
const image = (name: string) => `${registry.host}/${name}:1`;
const plain = () => `${image('lazy')}-plain`;

before(async () => {
  registry = await startRegistry(suite);
  await pushPause(image('pause'));
  await pushLazy({ reference: image('lazy'), layers: [fillShell] });
}, limit);

describe('a node with the configuration of snapshotter/deploy', {
  concurrency: versions.length,
  timeout: 240_000,
}, () => {
  for (const version of versions) {
    test(
      `containerd ${version.line} starts the DaemonSet's pod before the snapshotter runs, and others after`,
      limit,
      async (t) => {
        const directory = join(scratch, version.line);
        const snapshotterAddress = join(directory, 's/stargz.sock');
        const { address } = await startNode(t, version, directory, snapshotterAddress);
        const kubelet = (name: string, pod: PodClass) => openKubelet(t, join(directory, name), address, address, pod);
        const [own, other] = [kubelet('own', await daemonPod()), kubelet('other', {})];
        const images = openClient('runtime.v1.ImageService', address);
        undoAfter(t, () => images.close());
        await until('an answer of containerd', () => images.listImages({}), { limitMs: 30_000 });
        // As just after boot, nothing listens on the snapshotter's socket.
        await assert.rejects(other.pull(image('lazy')), { code: 'UNAVAILABLE' });
        const hello = ['sh', '-c', 'echo hello'];
        await own.pull(plain());
        assert.deepEqual(await own.run(plain(), hello), { exitCode: 0, output: 'hello\n' });
        const { imageFilesystems } = await images.imageFsInfo({});
        const watched = imageFilesystems.map(({ fsId }) => fsId?.mountpoint);
        assert.ok(watched.includes('/var/lib/containerd-stargz-grpc'), `watched: ${watched}`);

        const daemon = await startDaemon(t, join(directory, 's'), { address: snapshotterAddress });
        // containerd dials the socket again with a backoff.
        await until('a pull through the snapshotter', () => other.pull(image('lazy')), { limitMs: 30_000 });
        assert.deepEqual(await other.run(image('lazy'), hello), { exitCode: 0, output: 'hello\n' });
        assert.ok(daemon.status().counters.lazyMounts > 0);
        for (const name of [image('lazy'), plain()]) await other.remove(name);
      },
    );
  }
});

/** Starts containerd on the shipped file, with paths and images of this test. */
async function startNode(t: TestContext, version: ContainerdVersion, directory: string, snapshotterAddress: string) {
  const command = await unpackContainerd(version, t.signal);
  mkdirSync(directory);
  const address = join(directory, 'containerd.sock');
  const schema = version.major === 2 ? 3 : 2;
  const shipped = parse(await readFile(join(deployDir, `containerd-config-v${schema}.toml`), 'utf8'));
  const cni = { conf_dir: join(directory, 'net.d') };
  // A score below that of this process needs CAP_SYS_RESOURCE, which containers often lack.
  const pods = { restrict_oom_score_adj: true, cni };
  const own = {
    root: join(directory, 'root'),
    state: join(directory, 'state'),
    grpc: { address },
    ttrpc: { address: `${address}.ttrpc` },
    disabled_plugins: ['io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri'],
    proxy_plugins: { stargz: { address: snapshotterAddress } },
    plugins:
      schema === 2
        ? { 'io.containerd.grpc.v1.cri': { ...pods, sandbox_image: image('pause') } }
        : {
            'io.containerd.cri.v1.images': { pinned_images: { sandbox: image('pause') } },
            'io.containerd.cri.v1.runtime': pods,
          },
  };
  await writeFile(join(directory, 'config.toml'), stringify(merge(shipped, own)));
  const logPath = logPathOf(directory, 'containerd.log');
  const service = await Service.start({
    name: 'containerd',
    command,
    args: ['--config', join(directory, 'config.toml')],
    env: { ...process.env, PATH: `${dirname(command)}:${process.env.PATH}` },
    logPath,
  });
  const stop = (signal?: NodeJS.Signals) => service.stop(undefined, signal);
  return ownProcess(t, { address, pid: service.pid, logPath, stop });
}

function merge(into: TomlTable, from: object): TomlTable {
  const merged: TomlTable = { ...into };
  for (const [key, value] of Object.entries(from)) {
    const isTable = typeof value === 'object' && !Array.isArray(value);
    merged[key] = isTable ? merge((merged[key] ?? {}) as TomlTable, value) : value;
  }
  return merged;
}

/** The handler of the DaemonSet's RuntimeClass, and the annotations of its pod. */
async function daemonPod(): Promise<PodClass> {
  const documents = parseAllDocuments(await readFile(join(deployDir, 'kubernetes.yaml'), 'utf8'));
  const manifests = documents.map((document) => document.toJS());
  const { template } = manifests.find(({ kind }) => kind === 'DaemonSet').spec;
  const { runtimeClassName } = template.spec;
  const { handler } = manifests.find(
    ({ kind, metadata }) => kind === 'RuntimeClass' && metadata.name === runtimeClassName,
  );
  return { runtimeHandler: handler, annotations: template.metadata.annotations };
}
