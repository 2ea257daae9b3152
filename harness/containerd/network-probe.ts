import { closeSync, openSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { openTcpSocketIn } from '../../snapshotter/platform/syscalls.ts';
import type { Ready } from '../../workloads/workload.ts';
import { HarnessError } from '../cli/error.ts';

type NetworkReady = Extract<Ready, { readonly kind: 'http' | 'port' }>;

const intervalMs = 10;
/** Of one attempt: a server may accept before it can answer, and may never answer that request. */
const attemptLimitMs = 10_000;
const bodyLimitBytes = 64 << 10;
const host = '127.0.0.1';

/**
 * Polls a server in the network namespace of `pid` every 10 ms until it is ready. A socket belongs to the namespace that it
 * was made in, so it is made there and used here: the container needs no network but its loopback, no port of the host is
 * taken, and nothing runs in the container that would read its image. Rejects with HarnessError 'not-ready' if the answer
 * is not the expected one, and with the signal's reason on abort.
 */
export async function probeUntilReady(pid: number, ready: NetworkReady, signal: AbortSignal): Promise<undefined> {
  let namespaceFd: number;
  try {
    namespaceFd = openSync(`/proc/${pid}/ns/net`, 'r');
  } catch {
    // It has ended, which its exit reports. Nobody will answer.
    return await new Promise<never>(() => {});
  }
  try {
    while (!(await attempt(namespaceFd, ready, signal))) await sleep(intervalMs, undefined, { signal });
  } finally {
    closeSync(namespaceFd);
  }
}

async function attempt(namespaceFd: number, ready: NetworkReady, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const limited = AbortSignal.any([signal, AbortSignal.timeout(attemptLimitMs)]);
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const fail = () => resolve(false);
  const socket = connect(namespaceFd, ready.port);
  socket.on('error', fail);
  limited.addEventListener('abort', fail, { once: true });
  if (ready.kind === 'port') {
    socket.once('connect', () => resolve(true));
  } else {
    const { port, path } = ready;
    const request = get({ host, port, path, createConnection: () => socket });
    request.on('error', fail);
    request.once('response', (response) => judge(response, ready).then(resolve, reject));
  }
  try {
    return await promise;
  } finally {
    limited.removeEventListener('abort', fail);
    socket.destroy();
  }
}

async function judge(response: IncomingMessage, { path, body }: NetworkReady & { kind: 'http' }): Promise<boolean> {
  const { statusCode = 0 } = response;
  if (statusCode < 200 || statusCode > 299) return false;
  if (body === undefined) return true;
  // A server that closes the connection halfway is asked again.
  const text = await readBody(response).catch(() => undefined);
  if (text === undefined) return false;
  if (text.includes(body)) return true;
  throw new HarnessError(
    'not-ready',
    `GET ${path} was answered with ${JSON.stringify(text.slice(0, 200))} instead of ${JSON.stringify(body)}`,
  );
}

async function readBody(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    pieces.push(piece);
    sizeBytes += piece.length;
    if (sizeBytes > bodyLimitBytes) break;
  }
  return Buffer.concat(pieces).toString('utf8', 0, bodyLimitBytes);
}

function connect(namespaceFd: number, port: number): Socket {
  // Not read before it is connected, which Node would do with a descriptor that it is given.
  const options = { fd: openTcpSocketIn(namespaceFd), manualStart: true };
  return new Socket(options).connect({ host, port });
}
