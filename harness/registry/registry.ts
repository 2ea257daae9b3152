import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { HarnessError, lastLines } from '../cli/error.ts';
import { findCommand } from '../host/commands.ts';
import { findProcessesNaming, killProcesses } from '../host/processes.ts';
import { Service } from '../host/service.ts';

export interface Registry {
  /** `host:port` on loopback, plain HTTP. */
  readonly address: string;
  readonly pid: number;
  close(): Promise<void>;
}

export interface RegistryOptions {
  /** Blobs, configuration and log; kept between runs. */
  readonly dataDir: string;
  /** Default: registry.log in the directory. */
  readonly logPath?: string;
}

const startLimitMs = 15_000;

/** Starts the distribution registry over `dataDir`, on a free port of loopback. */
export async function startRegistry(options: RegistryOptions, signal: AbortSignal): Promise<Registry> {
  const { dataDir } = options;
  const command = await requireRegistry('start a registry');
  await mkdir(dataDir, { recursive: true });
  // A registry that a killed run left behind would write to the same files.
  await killProcesses(await findProcessesNaming(dataDir));
  // Another process may take the free port before the registry binds it.
  for (let attempt = 1; ; attempt++) {
    const address = `127.0.0.1:${await findFreePort()}`;
    const configPath = join(dataDir, 'config.yml');
    await writeFile(configPath, formatConfig(dataDir, address));
    const logPath = options.logPath ?? join(dataDir, 'registry.log');
    await writeFile(logPath, '');
    const service = await Service.start({
      name: 'docker-registry',
      command,
      args: ['serve', configPath],
      logPath,
    });
    try {
      await service.waitUntil(() => probe(address), startLimitMs, signal);
      return { address, pid: service.pid, close: async () => void (await service.stop()) };
    } catch (error) {
      const portTaken = /address already in use/.test(await service.logTail(20));
      await service.stop();
      if (!portTaken || attempt === 3) throw error;
    }
  }
}

const collectLimitMs = 900_000;

/** Removes manifests without a tag, and blobs that no manifest names. The registry must not run. */
export async function collectGarbage(dataDir: string, signal: AbortSignal): Promise<void> {
  const command = await requireRegistry('collect the garbage of a registry');
  await killProcesses(await findProcessesNaming(dataDir));
  const configPath = join(dataDir, 'config.yml');
  await writeFile(configPath, formatConfig(dataDir, '127.0.0.1:0'));
  const args = ['garbage-collect', '--delete-untagged', configPath];
  const options = { all: true, cancelSignal: signal, reject: false, stdin: 'ignore', timeout: collectLimitMs } as const;
  const result = await execa(command, args, options);
  signal.throwIfAborted();
  if (!result.failed) return;
  throw new HarnessError('cleanup', `docker-registry garbage-collect failed: ${lastLines(result.all ?? '')}`, {
    remedy: `remove ${dataDir} to begin anew`,
    cause: result,
  });
}

async function requireRegistry(operation: string): Promise<string> {
  const command = await findCommand('docker-registry');
  if (command !== undefined) return command;
  throw new HarnessError('missing-command', `cannot ${operation}: docker-registry is not installed`, {
    remedy: 'apt-get install docker-registry',
  });
}

/** Without an access log: one line for each ranged read would cost CPU time on the measured machine. */
function formatConfig(dataDir: string, address: string): string {
  return `version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: ${JSON.stringify(join(dataDir, 'data'))}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: ${address}
  relativeurls: true
`;
}

async function probe(address: string): Promise<void> {
  const answer = await fetch(`http://${address}/v2/`, { signal: AbortSignal.timeout(2_000) });
  await answer.arrayBuffer();
  if (!answer.ok) throw new Error(`status ${answer.status}`);
}

async function findFreePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    resolve(typeof address === 'object' && address !== null ? address.port : 0);
  });
  const port = await promise;
  await new Promise((closed) => server.close(closed));
  return port;
}
