import type { PulledImage } from '../containerd/image.ts';
import type { Mode } from '../run/mode.ts';
import type { CellEngine, EngineFindings, EnginePlace } from './engine.ts';
import { type Sandbox, startCell } from './sandbox.ts';

/** containerd, with our snapshotter, a peer's, or one of its own. */
export async function startContainerdEngine(
  sandbox: Sandbox,
  { snapshotter, daemonConfig, peer, base }: Mode,
  { registry, programs, logLevel = 'info' }: EnginePlace,
  signal: AbortSignal,
): Promise<CellEngine> {
  const setting = { snapshotter, daemonConfig, peer, base, programs, logLevel, ...registry };
  const running = await startCell(sandbox, setting, signal);
  const { containerd, daemon, own } = running;
  return {
    daemonLogPath: own?.logPath,
    pull: (image, pullSignal, credential) => containerd.pull(image, pullSignal, credential),
    async prepareContainer(workload) {
      const container = await running.prepareContainer(workload);
      return {
        async create(image, createSignal) {
          const pulled = await containerd.readImage(image, createSignal);
          await container.create(pulled, createSignal);
          const layerDigests = pulled.layers.map(({ digest }) => digest);
          return { layers: layerDigests.length, layerDigests, sizeBytes: pulled.sizeBytes };
        },
        runUntilReady: (runSignal) => container.runUntilReady(runSignal),
        stop: () => container.stop(),
      };
    },
    async inspect(image, inspectSignal) {
      const pulled: PulledImage = await containerd.readImage(image, inspectSignal);
      const { lazyLayers, downloaded } = await containerd.prove(pulled, inspectSignal);
      const isTooMany = downloaded.length > (peer?.eagerLayers ?? 0);
      const remedy =
        peer === undefined
          ? ''
          : `; convert its image in prepare, or say lazy = false or eager_layers for ${peer.name} in the peers file`;
      const mustBeLazy = daemon !== undefined && peer?.lazy !== false;
      return {
        lazyLayers,
        mount: await running.mountKind(),
        mountReason: own?.status().face?.reason,
        fault: mustBeLazy && isTooMany ? `not pulled lazily: ${downloaded.join(', ')}${remedy}` : undefined,
      } satisfies EngineFindings;
    },
    async cost() {
      const [daemonCost, containerdCost] = await Promise.all([daemon?.cost(), containerd.cost()]);
      return {
        daemonCpuMs: daemonCost?.cpuMs,
        daemonRssPeakKib: daemonCost?.rssPeakKib,
        keeperRssPeakKib: daemonCost?.childrenRssPeakKib || undefined,
        containerdCpuMs: containerdCost?.cpuMs,
      };
    },
    async explainEnds() {
      const ends = await Promise.all([containerd.explainEnd(), daemon?.explainEnd()]);
      return ends.filter((end) => end !== undefined);
    },
    stop: () => running.stop(),
  };
}
