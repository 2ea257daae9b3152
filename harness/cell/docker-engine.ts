import { join } from 'node:path';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { removeCgroups } from '../host/cgroups.ts';
import { openAccess } from '../registry/access.ts';
import { readLayers } from '../registry/manifest-layers.ts';
import { Docker } from '../docker/docker.ts';
import { DockerContainer } from '../docker/docker-container.ts';
import type { CellEngine, EnginePlace } from './engine.ts';
import { type CellRegistry, proxyEnvironment, type Sandbox } from './sandbox.ts';

/** Docker Engine: its own pull and its own storage driver; containerd and runc only run its containers. */
export async function startDockerEngine(
  { directory, idPrefix }: Sandbox,
  { registry, programs }: EnginePlace,
  signal: AbortSignal,
): Promise<CellEngine> {
  const cgroupParent = `${idPrefix}docker`;
  const docker = await Docker.start(
    {
      directory: join(directory, 'docker'),
      cgroupParent,
      containerdCommand: programs?.containerd,
      env: proxyEnvironment(registry.proxyAddress),
    },
    signal,
  );
  const containers: DockerContainer[] = [];
  return {
    daemonLogPath: undefined,
    pull: (image, pullSignal, credential) => docker.pull(image, pullSignal, credential),
    async prepareContainer(workload) {
      const id = `${idPrefix}${containers.length + 1}`;
      const sources = join(directory, 'docker-sources');
      const container = await DockerContainer.prepare(docker.client, { id, workload, directory: sources });
      containers.push(container);
      return {
        async create(image, createSignal) {
          await container.create(image, createSignal);
          const { RootFS } = await docker.client.getImage(image).inspect();
          return { layers: RootFS.Layers?.length ?? 0, layerDigests: [], sizeBytes: undefined };
        },
        runUntilReady: (runSignal) => container.runUntilReady(runSignal),
        stop: () => container.stop(),
      };
    },
    async inspect(image, inspectSignal) {
      const { Driver } = await docker.client.info();
      const sizeBytes = await readCompressedSize(registry, image, inspectSignal);
      return { lazyLayers: 0, mount: Driver, mountReason: undefined, fault: undefined, imageBytes: sizeBytes };
    },
    async cost() {
      const [engine, containerd] = await Promise.all([docker.cost(), docker.containerd.cost()]);
      return {
        daemonCpuMs: engine?.cpuMs,
        daemonRssPeakKib: engine?.rssPeakKib,
        keeperRssPeakKib: engine?.childrenRssPeakKib || undefined,
        containerdCpuMs: containerd?.cpuMs,
      };
    },
    explainEnds: () => docker.explainEnds(),
    async stop() {
      const failures: string[] = [];
      const attempt = async (what: string, step: Promise<unknown>) => {
        await step.catch((error: unknown) => failures.push(`${what}: ${(error as Error).message}`));
      };
      for (const container of containers) await attempt('stop container', container.stop());
      await attempt('stop Docker Engine', docker.stop());
      await removeCgroups(cgroupParent);
      return failures;
    },
  };
}

/** Docker Engine keeps only what layers unpack to. */
async function readCompressedSize(
  { registryAddress, hostsDirectory }: CellRegistry,
  image: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const client = registryAddress === undefined ? openAccess(hostsDirectory).client : new RegistryClient();
  try {
    return (await readLayers(client, image, signal))?.reduce((sum, { size }) => sum + size, 0);
  } finally {
    await client.close();
  }
}
