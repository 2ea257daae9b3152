import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, stringify, type TomlTable } from 'smol-toml';
import { parseAllDocuments } from 'yaml';
import { openClient } from '../../snapshotter/api/client.ts';
import { convertImage } from '../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { openKubelet, type PodClass } from '../../snapshotter/testing/cri.ts';
import { pushImage } from '../../snapshotter/testing/image.ts';
import { unmountUnder } from '../host/mounts.ts';
import { findProcessesNaming, killProcesses } from '../host/processes.ts';
import { Service } from '../host/service.ts';
import { fillShell } from '../images/tiny-image.ts';
import { type Registry, startRegistry } from '../registry/registry.ts';
import { startDaemon } from '../cell/daemon.ts';
import { type ContainerdVersion, containerdVersions, unpackContainerd } from './testing/containerd-versions.ts';

const limit = { timeout: 120_000 };
const deployDir = fileURLToPath(new URL('../../snapshotter/deploy', import.meta.url));
/** The daemon set's pod needs what 1.6 has not; see deploy/README.md. */
const versions = containerdVersions.filter(({ line }) => line !== '1.6');

let scratch: string;
let registry: Registry;
const image = (name: string) => `${registry.address}/${name}:1`;

before(async () => {
  // Short: a socket's path has 107 bytes.
  scratch = await mkdtemp('/tmp/nod-');
  const signal = AbortSignal.timeout(limit.timeout);
  registry = await startRegistry({ dataDir: join(scratch, 'registry') }, signal);
  const client = new RegistryClient();
  try {
    for (const name of ['pause', 'plain']) {
      await pushImage(client, { name: image(name), layers: [fillShell], command: ['/bin/sleep', '1000'] }, signal);
    }
    const [from, to] = [parseReference(image('plain')), parseReference(image('lazy'))];
    await convertImage(client, from, to, { format: 'estargz', signal });
  } finally {
    await client.close();
  }
}, limit);

after(async () => {
  await registry?.close();
  await killProcesses(await findProcessesNaming(scratch));
  await unmountUnder(scratch);
  await rm(scratch, { recursive: true, force: true });
});

describe('a node with the configuration of snapshotter/deploy', {
  concurrency: versions.length,
  timeout: 240_000,
}, () => {
  for (const version of versions) {
    test(
      `containerd ${version.line} starts the daemon set's pod before the snapshotter, and others after`,
      limit,
      async (t) => {
        const directory = join(scratch, version.line);
        const address = join(directory, 's/snapshotter.sock');
        const containerd = await startNode(version, directory, address, t.signal);
        const socket = join(directory, 'containerd.sock');
        const kubelet = (name: string, pod: PodClass) => openKubelet(join(directory, name), socket, socket, pod);
        const [own, other] = [kubelet('own', await daemonPod()), kubelet('other', {})];
        const images = openClient('runtime.v1.ImageService', socket);
        try {
          await containerd.waitUntil(() => images.listImages({}), 30_000, t.signal);
          // A machine that has just booted: nothing serves the snapshotter's socket.
          await assert.rejects(other.pull(image('lazy')), { code: 'UNAVAILABLE' });
          const hello = ['sh', '-c', 'echo hello'];
          await own.pull(image('plain'));
          assert.deepEqual(await own.run(image('plain'), hello), { exitCode: 0, output: 'hello\n' });
          const { imageFilesystems } = await images.imageFsInfo({});
          const watched = imageFilesystems.map(({ fsId }) => fsId?.mountpoint);
          assert.ok(watched.includes('/var/lib/containerd-stargz-grpc'), `watched: ${watched}`);

          const compileCache = join(scratch, 'compile-cache');
          const daemon = await startDaemon({ directory: join(directory, 's'), config: {}, compileCache }, t.signal);
          try {
            await pullWhenDialled(() => other.pull(image('lazy')));
            assert.deepEqual(await other.run(image('lazy'), hello), { exitCode: 0, output: 'hello\n' });
            assert.ok(daemon.status().counters.lazyMounts > 0);
            for (const name of ['lazy', 'plain']) await other.remove(image(name));
          } finally {
            await daemon.stop();
          }
        } finally {
          for (const client of [own, other, images]) client.close();
          await containerd.stop();
        }
      },
    );
  }
});

/** The shipped file, with paths and images of this test's own. */
async function startNode(version: ContainerdVersion, directory: string, address: string, signal: AbortSignal) {
  const command = await unpackContainerd(version, signal);
  await mkdir(directory);
  const schema = version.major === 2 ? 3 : 2;
  const shipped = parse(await readFile(join(deployDir, `containerd-config-v${schema}.toml`), 'utf8'));
  const cni = { conf_dir: join(directory, 'net.d') };
  // A score below that of this process needs a privilege that containers often lack.
  const pods = { restrict_oom_score_adj: true, cni };
  const own = {
    root: join(directory, 'root'),
    state: join(directory, 'state'),
    grpc: { address: join(directory, 'containerd.sock') },
    ttrpc: { address: join(directory, 'containerd.sock.ttrpc') },
    disabled_plugins: ['io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri'],
    proxy_plugins: { stargz: { address } },
    plugins:
      schema === 2
        ? { 'io.containerd.grpc.v1.cri': { ...pods, sandbox_image: image('pause') } }
        : {
            'io.containerd.cri.v1.images': { pinned_images: { sandbox: image('pause') } },
            'io.containerd.cri.v1.runtime': pods,
          },
  };
  await writeFile(join(directory, 'config.toml'), stringify(merge(shipped, own)));
  return await Service.start({
    name: 'containerd',
    command,
    args: ['--config', join(directory, 'config.toml')],
    env: { ...process.env, PATH: `${dirname(command)}:${process.env.PATH}` },
    logPath: join(directory, 'containerd.log'),
  });
}

function merge(into: TomlTable, from: object): TomlTable {
  const merged: TomlTable = { ...into };
  for (const [key, value] of Object.entries(from)) {
    const isTable = typeof value === 'object' && !Array.isArray(value);
    merged[key] = isTable ? merge((merged[key] ?? {}) as TomlTable, value) : value;
  }
  return merged;
}

/** The runtime that the DaemonSet's class names, and its pod's annotations. */
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

/** containerd dials the socket again after a while. */
async function pullWhenDialled(pull: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await pull();
      return;
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
