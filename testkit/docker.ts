import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Docker from 'dockerode';
import { Service } from '../harness/host/service.ts';
import type { Lifetime } from './lifetime.ts';
import { logPathOf, ownProcess, type TestProcess } from './process.ts';

const startLimitMs = 60_000;

export interface TestDocker extends TestProcess {
  readonly engine: Docker;
}

/** Starts a private Docker Engine below `directory`, without networks; it leaves the host's firewall alone. */
export async function startDocker(lifetime: Lifetime, directory: string): Promise<TestDocker> {
  mkdirSync(directory, { recursive: true });
  const logPath = logPathOf(directory, 'dockerd.log');
  const address = join(directory, 'docker.sock');
  const roots = [`--data-root=${join(directory, 'data')}`, `--exec-root=${join(directory, 'exec')}`];
  const network = ['--bridge=none', '--iptables=false', '--ip-forward=false', '--ip-masq=false'];
  const configPath = join(directory, 'daemon.json');
  writeFileSync(configPath, '{}');
  const files = [`--pidfile=${join(directory, 'pid')}`, `--config-file=${configPath}`];
  const service = await Service.start({
    name: 'dockerd',
    command: 'dockerd',
    args: [`--host=unix://${address}`, ...roots, ...network, ...files, '--storage-driver=vfs'],
    logPath,
  });
  const engine = new Docker({ socketPath: address });
  const stop = (signal?: NodeJS.Signals) => service.stop(undefined, signal);
  const owned = ownProcess(lifetime, { address, pid: service.pid, logPath, stop });
  await service.waitUntil(() => engine.ping(), startLimitMs, AbortSignal.timeout(startLimitMs));
  return { ...owned, engine };
}
