import type { PulledImage } from '../containerd/image.ts';
import { type DownloadedLayer, describeDownloaded } from '../containerd/proof.ts';
import type { Mode } from '../run/mode.ts';
import type { CellEngine, EngineFindings, EnginePlace } from './engine.ts';
import { readNotLazy, remedyFor } from './not-lazy.ts';
import { type Sandbox, startCell } from './sandbox.ts';

/** containerd, with our snapshotter, a peer's, or one of its own. */
export async function startContainerdEngine(
  sandbox: Sandbox,
  { snapshotter, daemonConfig, peer, base, variant }: Mode,
  { registry, programs, logLevel = 'info' }: EnginePlace,
  signal: AbortSignal,
): Promise<CellEngine> {
  const setting = { snapshotter, daemonConfig, peer, base, programs, logLevel, ...registry };
  const running = await startCell(sandbox, setting, signal);
  const { containerd, daemon, own } = running;
  /** One line with the remedy, since the row has nothing else: the daemon's log goes with the cell. */
  const explain = async (downloaded: readonly DownloadedLayer[]): Promise<string> => {
    if (own !== undefined) {
      const { text, reasons } = await readNotLazy(downloaded, own.logPath);
      const remedy = remedyFor(reasons, { variant, isEmbedded: registry.registryAddress !== undefined });
      return [text, remedy].filter((part) => part !== '').join('; ');
    }
    const remedy = `convert its image in prepare, or say lazy = false or eager_layers for ${snapshotter} in the peers file`;
    return `${downloaded.map(describeDownloaded).join(', ')}; ${remedy}`;
  };
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
      const isFaulty = daemon !== undefined && peer?.lazy !== false && downloaded.length > (peer?.eagerLayers ?? 0);
      return {
        lazyLayers,
        mount: await running.mountKind(),
        mountReason: own?.status().face?.reason,
        fault: isFaulty ? `not pulled lazily: ${await explain(downloaded)}` : undefined,
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
