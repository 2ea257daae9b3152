import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type HostileCounts,
  type HostileProxy,
  startHostileProxy,
} from '../../../snapshotter/registry/testing/hostile-proxy.ts';
import type { Containerd } from '../../containerd/containerd.ts';

/** What the network and the registry do to their clients, all at once. */
export const faults = { tooManyRequests: 0.04, retryAfterSec: 1, serverError: 0.03, reset: 0.05, cut: 0.08 } as const;
/** Not told to the client: that a signed URL has gone stale it learns from a 403. */
export const cdnLifetimeMs = 2500;
const tokenLifetimeMs = 5000;

const user = 'bench';
/** Of a registry that lives for one run on loopback. */
const password = 'correct horse';

/** The real registry at `upstream` behind a proxy that is calm until its faults are turned on. */
export function startHostileRegistry(upstream: string, seed: number): Promise<HostileProxy> {
  return startHostileProxy({
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

const mostPulls = 30;
const pullLimitMs = 120_000;

/** As a kubelet: containerd gives up on a manifest sooner than the daemon does on a layer, so it is asked again. */
export async function pullPatiently(containerd: Containerd, image: string, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const auth = { username: user, password };
      await containerd.client.cri.pullImage({ image: { image }, auth }, { signal, timeoutMs: pullLimitMs });
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (attempt === mostPulls) throw error;
    }
  }
}

/** Answers that did not bring what was asked for, each the cause of one request more. */
export function troubleIn({ tooManyRequests, serverErrors, resets, cuts, cdnRefused }: HostileCounts): number {
  return tooManyRequests + serverErrors + resets + cuts + cdnRefused;
}

/** What happened from `before` to `after`. */
export function countsBetween(before: HostileCounts, after: HostileCounts): HostileCounts {
  const entries = Object.entries(after).map(([name, count]) => [name, count - before[name as keyof HostileCounts]]);
  return Object.fromEntries(entries) as unknown as HostileCounts;
}

/** Requests in bad weather: those of a calm run, and per trouble its repetition with a new token and a new signed URL. */
export function mostRequests(calm: HostileCounts, rough: HostileCounts): number {
  return 2 * calm.requests + 4 * troubleIn(rough);
}
