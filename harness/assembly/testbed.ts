import { join } from 'node:path';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import type { Workload } from '../../workloads/workload.ts';
import { benchPackages, ensurePackages } from '../host/install.ts';
import { preflight } from '../host/preflight.ts';
import { ensureImages } from '../images/ensure.ts';
import { planImages } from '../images/plan.ts';
import type { RemoteOrigin } from '../images/origin.ts';
import type { ImageSet, Variant } from '../images/variants.ts';
import { lockStateDir } from '../run/lock.ts';
import { openResults, type Results, type ResultsRequest } from '../run/results.ts';
import { say } from '../cli/program.ts';
import { recordAccesses } from '../cell/record.ts';
import { startRegistry } from '../registry/registry.ts';

/** What the programs other than `bench` run on. */
export interface Testbed extends AsyncDisposable {
  /** `host:port` of the registry itself. */
  readonly registryAddress: string;
}

/** Disk space, in bytes, for what a cell unpacks and what is missing of these workloads' images. */
export async function imagesDisk(
  workloads: readonly Workload[],
  variants: readonly Variant[],
  stateDir: string,
): Promise<number> {
  return (await planImages(workloads, variants, stateDir)).neededBytes;
}

export interface TestbedOptions {
  readonly stateDir: string;
  /** Bytes that the program writes below it if nothing is cached. */
  readonly freeBytes: number;
}

/** Checks the host, locks the state directory, installs packages, starts the registry. Throws HarnessError. */
export async function openTestbed({ stateDir, freeBytes }: TestbedOptions, signal: AbortSignal): Promise<Testbed> {
  await preflight({ stateDir, freeBytes });
  await using stack = new AsyncDisposableStack();
  const lock = await lockStateDir(stateDir);
  stack.defer(() => lock.release());
  await ensurePackages(
    benchPackages,
    { step: (stage, detail) => say(`${stage}: ${detail}`), note: say, warn: say },
    signal,
  );
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  stack.defer(() => registry.close());
  const owned = stack.move();
  return { registryAddress: registry.address, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface TestbedRunRequest extends Omit<ResultsRequest, 'stateDir'>, TestbedOptions {}

/** A testbed and the results of the program that runs on it. */
export interface TestbedRun extends Testbed {
  readonly results: Results;
}

export async function openTestbedRun(request: TestbedRunRequest, signal: AbortSignal): Promise<TestbedRun> {
  await using stack = new AsyncDisposableStack();
  const { registryAddress } = stack.use(await openTestbed(request, signal));
  const results = stack.use(await openResults(request, signal));
  const owned = stack.move();
  return { registryAddress, results, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface WorkloadImagesRequest {
  readonly stateDir: string;
  readonly registryAddress: string;
  readonly variants: readonly Variant[];
  /** Images are copied from there; undefined: built here. */
  readonly from?: RemoteOrigin | undefined;
  /** For registries that images are imported from. */
  readonly hostsDirectory?: string | undefined;
  readonly onStep: (detail: string) => void;
}

/** Builds and converts what is missing of these workloads' images, by recipe name; records accesses for eStargz. */
export async function ensureWorkloadImages(
  workloads: readonly Workload[],
  { registryAddress, from, ...request }: WorkloadImagesRequest,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ImageSet>> {
  const { stateDir } = request;
  const client = new RegistryClient();
  const record = (workload: Workload, image: string, path: string, recordSignal: AbortSignal): Promise<void> =>
    recordAccesses({ stateDir, registryAddress, workload, image, path }, recordSignal);
  try {
    return await ensureImages(workloads, { ...request, registry: registryAddress, client, record }, signal, from);
  } finally {
    await client.close();
  }
}
