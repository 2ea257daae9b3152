import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { randomBelow, type Random } from '../../../measurements/stats/random.ts';
import { sendSignal } from '../../host/processes.ts';
import { Service } from '../../host/service.ts';
import { startRegistry } from '../../registry/registry.ts';
import type { RegistryFaults } from './tally.ts';

export interface FragileRegistry {
  readonly address: string;
  /** Kills or stops it now and then, and brings it back on its address, until the signal. */
  trouble(random: Random, counts: RegistryFaults, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const startLimitMs = 15_000;
const maxStopMs = 1500;
const maxPauseMs = 6000;

export async function startFragileRegistry(dataDir: string, signal: AbortSignal): Promise<FragileRegistry> {
  const first = await startRegistry({ dataDir }, signal);
  const { address } = first;
  let current: { readonly pid: number; close(): Promise<unknown> } = first;
  const restart = async (): Promise<void> => {
    const service = await Service.start({
      name: 'docker-registry',
      command: 'docker-registry',
      args: ['serve', join(dataDir, 'config.yml')],
      logPath: join(dataDir, 'registry.log'),
    });
    current = { pid: service.pid, close: () => service.stop() };
    const probe = () => fetch(`http://${address}/v2/`, { signal: AbortSignal.timeout(1000) });
    await service.waitUntil(probe, startLimitMs, signal);
  };
  return {
    address,
    async trouble(random, counts, ending) {
      while (!ending.aborted) {
        await delay(randomBelow(maxPauseMs, random), undefined, { signal: ending }).catch(() => {});
        if (ending.aborted) return;
        if (randomBelow(2, random) === 0) {
          counts.registryStops++;
          sendSignal(current.pid, 'SIGSTOP');
          await delay(randomBelow(maxStopMs, random));
          sendSignal(current.pid, 'SIGCONT');
        } else {
          counts.registryKills++;
          sendSignal(current.pid, 'SIGKILL');
          // Reaps it, and frees the port.
          await current.close();
          await restart();
        }
      }
    },
    close: async () => void (await current.close()),
  };
}
