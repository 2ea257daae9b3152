import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'smol-toml';
import { openClient } from '../../snapshotter/api/client.ts';
import { readStatus, type StatusDocument } from '../../snapshotter/api/status.ts';
import { HarnessError } from '../cli/error.ts';
import type { ProcessCost } from '../host/processes.ts';
import { Service } from '../host/service.ts';

export interface DaemonOptions {
  /** Everything it writes lies below. */
  readonly directory: string;
  /** Its config.toml. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Kept between cells: what Node compiles of the daemon, as on a machine where it has run before. */
  readonly compileCache: string;
}

export interface SnapshotterDaemon {
  /** Socket for containerd's proxy plugin. */
  readonly address: string;
  cost(): Promise<ProcessCost | undefined>;
  /** Its status document. Of its counters, those of mounts are current. */
  status(): StatusDocument;
  /** Its last words, if it has ended by itself. */
  explainEnd(): Promise<string | undefined>;
  /** Ends it in an orderly way: it takes its mounts down itself. */
  stop(): Promise<void>;
}

const mainPath = fileURLToPath(new URL('../../snapshotter/main.ts', import.meta.url));
const startLimitMs = 30_000;
/** Its own limit for an orderly end is 30 s. */
const stopGraceMs = 35_000;

/** Starts the snapshotter of this repository and waits until it answers. */
export async function startDaemon(options: DaemonOptions, signal: AbortSignal): Promise<SnapshotterDaemon> {
  const { directory, config } = options;
  await mkdir(directory, { recursive: true });
  const address = join(directory, 'snapshotter.sock');
  const configPath = join(directory, 'config.toml');
  const root = join(directory, 'root');
  await writeFile(configPath, stringify(config));
  const service = await Service.start({
    name: 'the snapshotter',
    command: process.execPath,
    args: [
      mainPath,
      ...['--address', address],
      ...['--root', root],
      ...['--config', configPath],
      ...['--log-level', 'info'],
    ],
    env: { ...process.env, NODE_COMPILE_CACHE: options.compileCache },
    logPath: join(directory, 'snapshotter.log'),
  });
  const client = openClient('containerd.services.snapshots.v1.Snapshots', address);
  try {
    await service.waitUntil(() => listOnce(client, signal), startLimitMs, signal);
  } catch (error) {
    await service.stop(stopGraceMs, 'SIGINT');
    throw error;
  } finally {
    client.close();
  }
  return {
    address,
    cost: () => service.cost(),
    status() {
      const status = readStatus(root);
      if (status?.pid === service.pid) return status;
      throw new HarnessError('start', `the snapshotter wrote no status document below ${root}`);
    },
    explainEnd: () => service.explainEnd(),
    // SIGTERM would leave the mounts to a daemon that follows.
    stop: () => service.stop(stopGraceMs, 'SIGINT'),
  };
}

async function listOnce(
  client: ReturnType<typeof openClient<'containerd.services.snapshots.v1.Snapshots'>>,
  signal: AbortSignal,
): Promise<void> {
  for await (const _ of client.list({}, { signal, timeoutMs: 2_000 })) return;
}
