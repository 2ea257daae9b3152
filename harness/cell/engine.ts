import type { Workload } from '../../workloads/workload.ts';
import type { Credential } from '../../snapshotter/registry/keychain.ts';
import type { CellRegistry, ContainerdPrograms } from './sandbox.ts';

/** What a cell measures: containerd with a snapshotter, or Docker Engine. Phases are its `pull`, `create` and `runUntilReady`. */
export interface CellEngine {
  /** The log of our daemon; undefined where there is none. */
  readonly daemonLogPath: string | undefined;
  /** Phase `pull`. */
  pull(image: string, signal: AbortSignal, credential?: Credential): Promise<void>;
  /** What does not need the image; not part of any phase. */
  prepareContainer(workload: Workload): Promise<CellContainer>;
  /** What the pull came to; called while everything still runs. */
  inspect(image: string, signal: AbortSignal): Promise<EngineFindings>;
  cost(): Promise<EngineCost>;
  /** The ends of the logs of programs that have ended by themselves, which explain more than a failed call. */
  explainEnds(): Promise<string[]>;
  /** Stops everything, and the containers first. Tries every step; returns the failures. */
  stop(): Promise<string[]>;
}

export interface EnginePlace {
  readonly registry: CellRegistry;
  readonly programs?: ContainerdPrograms | undefined;
  /** Of our daemon. Default: info. */
  readonly logLevel?: string | undefined;
}

export interface CellContainer {
  /** Phase `create`. */
  create(image: string, signal: AbortSignal): Promise<CreatedImage>;
  /** Phase `run`. */
  runUntilReady(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

export interface CreatedImage {
  readonly layers: number;
  /** Digests of their blobs; none where the engine does not keep them. */
  readonly layerDigests: readonly string[];
  /** Compressed; undefined where the engine does not keep it. */
  readonly sizeBytes: number | undefined;
}

export interface EngineFindings {
  readonly lazyLayers: number;
  /** What served the layers: overlayfs, overlay2, fuse, erofs. */
  readonly mount: string | undefined;
  readonly mountReason: string | undefined;
  /** Why the cell does not count although everything ran. */
  readonly fault: string | undefined;
  /** Where `create` did not say it. */
  readonly imageBytes?: number | undefined;
}

/** CPU times are since the start of each program. */
export interface EngineCost {
  readonly daemonCpuMs: number | undefined;
  readonly daemonRssPeakKib: number | undefined;
  /** Of the processes that the daemon has started. */
  readonly keeperRssPeakKib: number | undefined;
  readonly containerdCpuMs: number | undefined;
}
