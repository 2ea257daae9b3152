import { join } from 'node:path';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import type { Workload } from '../../workloads/workload.ts';
import { benchPackages, ensurePackages } from '../host/install.ts';
import { preflight } from '../host/preflight.ts';
import { ensureImages, type ImageSet, type Variant } from '../images/ensure.ts';
import { lockStateDir } from '../run/lock.ts';
import { say } from '../cli/program.ts';
import { recordAccesses } from '../cell/record.ts';
import { startRegistry } from '../registry/registry.ts';

/** What the benchmarks beside `bench` stand on. */
export interface Testbed extends AsyncDisposable {
  /** `host:port` of the registry itself. */
  readonly registryAddress: string;
}

/** The workloads' images, their archives and what a cell unpacks of them, as far as they may be missing. */
export const imagesBytes = 12 * 2 ** 30;

export interface TestbedOptions {
  readonly stateDir: string;
  /** Bytes that the benchmark writes below it with nothing cached. */
  readonly freeBytes: number;
}

/** A fit host with its packages, the state directory to ourselves, the registry. Throws HarnessError. */
export async function openTestbed({ stateDir, freeBytes }: TestbedOptions, signal: AbortSignal): Promise<Testbed> {
  await preflight({ stateDir, freeBytes });
  await using stack = new AsyncDisposableStack();
  const lock = await lockStateDir(stateDir);
  stack.defer(() => lock.release());
  await ensurePackages(benchPackages, { step: (stage, detail) => say(`${stage}: ${detail}`), warn: say }, signal);
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  stack.defer(() => registry.close());
  const owned = stack.move();
  return { registryAddress: registry.address, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface WorkloadImagesRequest {
  readonly stateDir: string;
  readonly registryAddress: string;
  readonly variants: readonly Variant[];
  readonly onStep: (detail: string) => void;
}

/** The images of these workloads in the local registry, by recipe name; what an eStargz image lacks is recorded here. */
export async function ensureWorkloadImages(
  workloads: readonly Workload[],
  { registryAddress, ...request }: WorkloadImagesRequest,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ImageSet>> {
  const { stateDir } = request;
  const client = new RegistryClient();
  const record = (workload: Workload, image: string, path: string, recordSignal: AbortSignal): Promise<void> =>
    recordAccesses({ stateDir, registryAddress, workload, image, path }, recordSignal);
  try {
    return await ensureImages(workloads, { ...request, registry: registryAddress, client, record }, signal);
  } finally {
    await client.close();
  }
}
