import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LinkSetting } from '../../measurements/environment.ts';
import { HarnessError } from '../cli/error.ts';
import type { LinkTrace } from './link-trace.ts';

export interface LinkOptions extends LinkSetting {
  /** `host:port` of the registry. Undefined: the link is an HTTP proxy to whatever its clients name, TLS only. */
  readonly target: string | undefined;
  /** In each direction, shared by all connections. */
  readonly bandwidthMbps: LinkSetting['bandwidthMbps'];
}

/** Since the start or the last reset. Bytes are TCP payload, without headers and retransmissions. */
export interface LinkCounters {
  /** Registry to client. */
  readonly bytes: number;
  /** Client to registry. */
  readonly bytesUp: number;
  /** HTTP request heads; undefined if a connection carried anything else, such as TLS. */
  readonly requests: number | undefined;
  readonly connections: number;
  /** CPU time of the relay itself since it started. */
  readonly cpuMs: number;
}

export interface Link {
  /** `host:port` that clients use instead of the target's. */
  readonly address: string;
  counters(): Promise<LinkCounters>;
  /** From now on it counts anew, and if `isTraced` it keeps what crosses it until the trace is read. */
  reset(options?: { readonly isTraced?: boolean }): Promise<void>;
  /** The counters and the trace of the same moment, with which the trace ends. Rejects where none was begun. */
  readTrace(): Promise<{ readonly counters: LinkCounters; readonly trace: LinkTrace }>;
  close(): Promise<void>;
}

export type LinkRequest = Question & { readonly id: number };
export type LinkReply =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'failed'; readonly message: string }
  | (LinkReading & { readonly kind: 'counters'; readonly id?: number });

type Question = { readonly kind: 'counters' | 'trace' } | { readonly kind: 'reset'; readonly isTraced: boolean };

interface LinkReading {
  readonly counters: LinkCounters;
  readonly trace?: LinkTrace;
}

const startLimitMs = 10_000;
const closeLimitMs = 2_000;

/** Starts the emulated link in a process of its own, which ends on `close` or with this process. */
export async function startLink(options: LinkOptions): Promise<Link> {
  const { host, port } = options.target === undefined ? { host: '', port: 0 } : splitAddress(options.target);
  const child = fork(
    fileURLToPath(new URL('link-process.ts', import.meta.url)),
    [host, port, options.rttMs, options.bandwidthMbps ?? 0, options.tcp?.lossShare ?? ''].map(String),
    { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' },
  );
  try {
    return openLink(child, await listeningPort(child));
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

function openLink(child: ChildProcess, port: number): Link {
  const waiting = new Map<number, { resolve: (reading: LinkReading) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  child.on('message', (reply: LinkReply) => {
    if (reply.kind !== 'counters' || reply.id === undefined) return;
    waiting.get(reply.id)?.resolve(reply);
    waiting.delete(reply.id);
    if (waiting.size === 0) child.channel?.unref();
  });
  child.once('exit', () => {
    for (const { reject } of waiting.values()) reject(gone());
    waiting.clear();
  });
  const ask = (request: Question) =>
    new Promise<LinkReading>((resolve, reject) => {
      if (!child.connected) {
        reject(gone());
        return;
      }
      const id = ++lastId;
      waiting.set(id, { resolve, reject });
      child.channel?.ref();
      child.send({ ...request, id } satisfies LinkRequest);
    });
  // An idle link does not keep the harness alive.
  child.unref();
  child.channel?.unref();
  return {
    address: `127.0.0.1:${port}`,
    counters: async () => (await ask({ kind: 'counters' })).counters,
    reset: async ({ isTraced = false } = {}) => void (await ask({ kind: 'reset', isTraced })),
    readTrace: async () => {
      const { counters, trace } = await ask({ kind: 'trace' });
      if (trace === undefined) throw new TypeError('the link was not told to trace');
      return { counters, trace };
    },
    close: () => endChild(child),
  };
}

async function listeningPort(child: ChildProcess): Promise<number> {
  const signal = AbortSignal.timeout(startLimitMs);
  const reply = await Promise.race([
    once(child, 'message', { signal }).then(([message]) => message as LinkReply),
    once(child, 'exit', { signal }).then(([code]): LinkReply => ({ kind: 'failed', message: `exit code ${code}` })),
  ]).catch((error: Error): LinkReply => ({ kind: 'failed', message: error.message }));
  if (reply.kind === 'listening') return reply.port;
  const why = reply.kind === 'failed' ? reply.message : 'unexpected message';
  throw new HarnessError('start', `cannot start the link emulator: ${why}`);
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.ref();
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill('SIGKILL'), closeLimitMs);
  await exited;
  clearTimeout(timer);
}

function splitAddress(target: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(target);
  if (match === null) throw new TypeError(`not host:port: ${JSON.stringify(target)}`);
  return { host: match[1] ?? match[2]!, port: Number(match[3]) };
}

function gone(): HarnessError {
  return new HarnessError('stopped', 'the link emulator has ended');
}
