import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SimulatorCounts } from '../../../testkit/registry-simulator/journal.ts';
import { type RegistrySimulator, startRegistrySimulator } from '../../../testkit/registry-simulator/simulator.ts';
import type { Containerd } from '../../containerd/containerd.ts';

/** Faults of the network and the registry, all at once. */
export const roughWeather = {
  tooManyRequests: 0.04,
  retryAfterSec: 1,
  serverError: 0.03,
  reset: 0.05,
  cut: 0.08,
} as const;
/** The signed URL does not tell: the client learns from a 403 that it has expired. */
export const cdnLifetimeMs = 2500;
const tokenLifetimeMs = 5000;

const user = 'bench';
/** For a registry on loopback that lives for one run. */
const password = 'correct horse';

/** The real registry at `upstream` behind a simulator that is calm until its weather is turned on. */
export function startHostileRegistry(upstream: string, seed: number): Promise<RegistrySimulator> {
  return startRegistrySimulator({
    upstream,
    auth: { kind: 'token', users: { [user]: password }, lifetimeMs: tokenLifetimeMs },
    cdnLifetimeMs,
    cdnTellsExpiry: false,
    seed,
  });
}

/** Writes the config.json that `docker login` would have; returns what DOCKER_CONFIG is to be set to. */
export async function writeDockerConfig(directory: string, registryAddress: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const auth = Buffer.from(`${user}:${password}`).toString('base64');
  await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: { [registryAddress]: { auth } } }), {
    mode: 0o600,
  });
  return directory;
}

const maxPulls = 30;
const pullLimitMs = 120_000;

/** Pulls again after a failure, as a kubelet does: containerd gives up on a manifest sooner than the daemon on a layer. */
export async function pullPatiently(containerd: Containerd, image: string, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const auth = { username: user, password };
      await containerd.client.cri.pullImage({ image: { image }, auth }, { signal, timeoutMs: pullLimitMs });
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (attempt === maxPulls) throw error;
    }
  }
}

/** Failed answers, each of which causes one more request. */
export function troubleIn({ tooManyRequests, serverErrors, resets, cuts, cdnRefused }: SimulatorCounts): number {
  return tooManyRequests + serverErrors + resets + cuts + cdnRefused;
}

/** The difference between two snapshots of the counts. */
export function countsBetween(before: SimulatorCounts, after: SimulatorCounts): SimulatorCounts {
  const entries = Object.entries(after).map(([name, count]) => [name, count - before[name as keyof SimulatorCounts]]);
  return Object.fromEntries(entries) as unknown as SimulatorCounts;
}

/**
 * Allowed in rough weather: twice the requests of as many calm runs, and per failure its retry with a new token and a new
 * signed URL.
 */
export function maxRequests(calm: SimulatorCounts, rough: SimulatorCounts, runs = 1): number {
  return 2 * runs * calm.requests + 4 * troubleIn(rough);
}
