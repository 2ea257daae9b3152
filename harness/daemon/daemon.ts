import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'smol-toml';
import { openClient, RpcError } from '../../snapshotter/api/client.ts';
import { readStatus, type StatusDocument } from '../../snapshotter/api/status.ts';
import { HarnessError } from '../cli/error.ts';
import type { ProcessCost } from '../host/processes.ts';
import { type ProcessEnd, Service } from '../host/service.ts';

export interface DaemonOptions {
  /** For everything whose path is not given below. */
  readonly directory: string;
  /** Of config.toml, or its text. */
  readonly config?: Readonly<Record<string, unknown>> | string;
  /** The socket it serves. */
  readonly address?: string;
  readonly root?: string;
  readonly logPath?: string;
  /** Default: info. */
  readonly logLevel?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Path of a `containerd-stargz-grpc` that is not ours: same flags and config.toml, no status document. */
  readonly peer?: string | undefined;
  /** A command that execs the daemon; the daemon's command line is appended to it. */
  readonly launcher?: readonly string[];
}

export interface SnapshotterDaemon {
  readonly pid: number;
  /** Socket for containerd's proxy plugin. */
  readonly address: string;
  readonly logPath: string;
  cost(): Promise<ProcessCost | undefined>;
  /** Its status document. Of its counters, those of mounts are current. Throws for a peer. */
  status(): StatusDocument;
  /** The end of its log if it has ended by itself. */
  explainEnd(): Promise<string | undefined>;
  /** Default: SIGINT, on which it also unmounts; SIGTERM leaves its mounts to the next daemon. */
  stop(signal?: NodeJS.Signals): Promise<ProcessEnd>;
}

const mainPath = fileURLToPath(new URL('../../snapshotter/main.ts', import.meta.url));
const startLimitMs = 30_000;
/** The daemon allows itself 30 s for an orderly end. */
const stopGraceMs = 35_000;

/** Starts the snapshotter of this repository and waits until it answers. */
export async function startDaemon(options: DaemonOptions, signal: AbortSignal): Promise<SnapshotterDaemon> {
  const { directory, config = '' } = options;
  await mkdir(directory, { recursive: true });
  const address = options.address ?? join(directory, 'snapshotter.sock');
  const logPath = options.logPath ?? join(directory, 'snapshotter.log');
  const configPath = join(directory, 'config.toml');
  const root = options.root ?? join(directory, 'root');
  await writeFile(configPath, typeof config === 'string' ? config : stringify(config));
  const [command, ...args] = [
    ...(options.launcher ?? []),
    ...(options.peer === undefined ? [process.execPath, mainPath] : [options.peer]),
    ...['--address', address],
    ...['--root', root],
    ...['--config', configPath],
    ...['--log-level', options.logLevel ?? 'info'],
  ] as [string, ...string[]];
  const env = { ...process.env, ...options.env };
  const service = await Service.start({ name: options.peer ?? 'the snapshotter', command, args, env, logPath });
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
    pid: service.pid,
    address,
    logPath,
    cost: () => service.cost(),
    status() {
      const status = readStatus(root);
      if (status?.pid === service.pid) return status;
      throw new HarnessError('start', `the snapshotter wrote no status document below ${root}`);
    },
    explainEnd: () => service.explainEnd(),
    stop: (signal = 'SIGINT') => service.stop(stopGraceMs, signal),
  };
}

/** Any answer of the service counts: a fresh Go daemon answers List with UNKNOWN. */
async function listOnce(
  client: ReturnType<typeof openClient<'containerd.services.snapshots.v1.Snapshots'>>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const _ of client.list({}, { signal, timeoutMs: 2_000 })) return;
  } catch (error) {
    if (error instanceof RpcError && error.code === 'UNKNOWN') return;
    throw error;
  }
}
