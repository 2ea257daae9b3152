import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'smol-toml';
import { openClient, RpcError, type StatusName } from '../../snapshotter/api/client.ts';
import { readStatus, type StatusDocument } from '../../snapshotter/api/status.ts';
import { HarnessError } from '../cli/error.ts';
import type { ProcessCost } from '../host/processes.ts';
import { type ProcessEnd, Service } from '../host/service.ts';
import { fillPlaceholders, type Peer } from './peer.ts';

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
  /** Of another checkout of this project. Default: this one. */
  readonly mainPath?: string;
  /** A command that execs the daemon; the daemon's command line is appended to it. */
  readonly launcher?: readonly string[];
}

/** Ours or a peer. */
export interface RunningSnapshotter {
  readonly pid: number;
  /** Socket for containerd's proxy plugin. */
  readonly address: string;
  readonly logPath: string;
  cost(): Promise<ProcessCost | undefined>;
  /** The end of its log if it has ended by itself. */
  explainEnd(): Promise<string | undefined>;
  /** Default: SIGINT, on which it also unmounts; SIGTERM leaves its mounts to the next daemon. */
  stop(signal?: NodeJS.Signals): Promise<ProcessEnd>;
}

export interface SnapshotterDaemon extends RunningSnapshotter {
  /** Its status document. Of its counters, those of mounts are current. */
  status(): StatusDocument;
}

const ownMainPath = fileURLToPath(new URL('../../snapshotter/main.ts', import.meta.url));
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
    ...[process.execPath, options.mainPath ?? ownMainPath],
    ...['--address', address],
    ...['--root', root],
    ...['--config', configPath],
    ...['--log-level', options.logLevel ?? 'info'],
  ] as [string, ...string[]];
  const env = { ...process.env, ...options.env };
  const service = await Service.start({ name: 'the snapshotter', command, args, env, logPath });
  const running = await waitForAnswer(service, { address, logPath, limitMs: startLimitMs }, signal);
  return {
    ...running,
    status() {
      const status = readStatus(root);
      if (status?.pid === service.pid) return status;
      throw new HarnessError('start', `the snapshotter wrote no status document below ${root}`);
    },
  };
}

export interface PeerOptions {
  /** For everything that it writes. */
  readonly directory: string;
  /** Of {config}, with placeholders. Default: the peer's own. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Starts a snapshotter of others, whose program is resolved, and waits until it answers. Throws HarnessError. */
export async function startPeer(
  peer: Peer,
  { directory, config = peer.config }: PeerOptions,
  signal: AbortSignal,
): Promise<RunningSnapshotter> {
  const at = (name: string) => join(directory, name);
  const values = {
    program: peer.program,
    socket: at('snapshotter.sock'),
    root: at('root'),
    config: at('config.toml'),
    directory,
  };
  await mkdir(values.root, { recursive: true });
  await writeFile(values.config, stringify(fillPlaceholders(config, values)));
  for (const [name, text] of Object.entries(peer.files)) await writeFile(at(name), fillPlaceholders(text, values));
  const [command = '', ...args] = fillPlaceholders(peer.command, values);
  const logPath = at('snapshotter.log');
  const env = { ...process.env, ...peer.env };
  const service = await Service.start({ name: `the peer ${peer.name}`, command, args, env, logPath });
  const answer = { address: values.socket, logPath, limitMs: peer.startLimitMs };
  return await waitForAnswer(service, answer, signal).catch((error: unknown) => {
    throw error instanceof HarnessError ? withRemedy(error) : error;
  });
}

/** Within the message, since a row has nothing else. The log goes with the cell, so that its end stands there too. */
function withRemedy(error: HarnessError): HarnessError {
  const more = error.code === 'timeout' ? ', or raise start_limit_s' : '';
  const message = `${error.message}; correct its command in the peers file${more}`;
  return new HarnessError(error.code, message, { cause: error });
}

async function waitForAnswer(
  service: Service,
  { address, logPath, limitMs }: { readonly address: string; readonly logPath: string; readonly limitMs: number },
  signal: AbortSignal,
): Promise<RunningSnapshotter> {
  const client = openClient('containerd.services.snapshots.v1.Snapshots', address);
  try {
    await service.waitUntil(() => listOnce(client, signal), limitMs, signal);
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
    explainEnd: () => service.explainEnd(),
    stop: (signal = 'SIGINT') => service.stop(stopGraceMs, signal),
  };
}

/** What the transport says where nobody answers; every other status is an answer: a fresh Go daemon's to List is UNKNOWN. */
const silence: readonly StatusName[] = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED'];

async function listOnce(
  client: ReturnType<typeof openClient<'containerd.services.snapshots.v1.Snapshots'>>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const _ of client.list({}, { signal, timeoutMs: 2_000 })) return;
  } catch (error) {
    if (error instanceof RpcError && !silence.includes(error.code)) return;
    throw error;
  }
}
