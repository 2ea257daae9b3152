import { join } from 'node:path';
import { startRegistry as start } from '../harness/registry/registry.ts';
import type { Lifetime } from './lifetime.ts';
import { logPathOf, ownProcess } from './process.ts';
import { openScratch } from './scratch.ts';

const startLimitMs = 60_000;

export interface TestRegistry {
  /** `127.0.0.1:port`, plain HTTP; the host of references. */
  readonly host: string;
  log(): string;
  close(): Promise<void>;
}

/** Starts an empty docker-registry. */
export async function startRegistry(lifetime: Lifetime): Promise<TestRegistry> {
  const dataDir = openScratch(lifetime, 'registry');
  const logPath = logPathOf(dataDir, 'registry.log');
  const registry = await start({ dataDir: join(dataDir, 'data'), logPath }, AbortSignal.timeout(startLimitMs));
  const { address, pid, close } = registry;
  const { log, stop } = ownProcess(lifetime, { address, pid, logPath, stop: () => close().then(() => 0) });
  return { host: address, log, close: () => stop().then(() => {}) };
}
