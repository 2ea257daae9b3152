import { isImported, type Workload } from '../../workloads/workload.ts';
import { openSandbox, type RunningCell, requireLazy, withCell } from './sandbox.ts';
import { HarnessError, messageOf } from '../cli/error.ts';
import { stargz } from './modes/stargz.ts';

export interface RecordRequest {
  readonly stateDir: string;
  /** `host:port` of the registry itself: accesses do not depend on the link. */
  readonly registryAddress: string;
  readonly workload: Workload;
  /** `repository:tag` of a stargz image. */
  readonly image: string;
  /** The access record (snapshotter/convert/accesses.ts) is appended here. */
  readonly path: string;
  /** Options besides those of the stargz mode. */
  readonly daemonConfig?: Readonly<Record<string, unknown>>;
}

/** Runs a workload once on a lazily mounted image and records what it reads of which files, in order. */
export async function recordAccesses(request: RecordRequest, signal: AbortSignal): Promise<void> {
  const { workload, registryAddress } = request;
  const image = `${registryAddress}/${request.image}`;
  const daemonConfig = { ...stargz.daemonConfig, ...request.daemonConfig, record_accesses: request.path };
  const setting = { snapshotter: 'stargz', daemonConfig, registryAddress, isCold: false } as const;
  const run = async (running: RunningCell): Promise<void> => {
    const container = await running.prepareContainer(workload);
    await running.containerd.pull(image, signal);
    const pulled = await running.containerd.readImage(image, signal);
    await container.create(pulled, signal);
    await container.runUntilReady(signal);
    await requireLazy(running, image, pulled, signal);
  };
  try {
    await withCell(openSandbox(request.stateDir), setting, run, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new HarnessError('image-convert', `cannot record the accesses of ${workload.name}: ${messageOf(error)}`, {
      remedy:
        error instanceof HarnessError && error.remedy !== undefined
          ? error.remedy
          : isImported(workload.image)
            ? 'check what is run and its --ready option'
            : 'run with --modes legacy,stargz to run without the optimised image',
      cause: error,
    });
  }
}
