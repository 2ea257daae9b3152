import { chmod, mkdir, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadService } from '../api/load.ts';
import type { Services } from '../api/types/services.ts';
import type { Partially, ServerStream, Unary } from '../api/well-known.ts';
import { RequestError, toStatus } from './status.ts';

export interface CallContext {
  /** Aborted when the caller gives up or its deadline passes. */
  readonly signal: AbortSignal;
}

export type Handlers<Methods> = {
  readonly [Name in keyof Methods]: Methods[Name] extends Unary<infer Request, infer Response>
    ? (request: Request, call: CallContext) => Promise<Partially<Response>>
    : Methods[Name] extends ServerStream<infer Request, infer Response>
      ? (request: Request, call: CallContext) => Iterable<Partially<Response>>
      : never;
};

/** Notified of the start and end of every call. */
export interface CallObserver {
  started(method: string): void;
  finished(method: string, durationMs: number, error: unknown): void;
}

/** containerd's own limit. */
const maxMessageBytes = 16 << 20;

export function createServer(): Server {
  return new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.enable_channelz': 0,
  });
}

/** Registers a service. Errors of handlers become statuses; a request that does not parse, INVALID_ARGUMENT. */
export function addService<Name extends keyof Services>(
  server: Server,
  name: Name,
  handlers: Handlers<Services[Name]>,
  observe: CallObserver,
): void {
  const implementation: UntypedServiceImplementation = {};
  const definitions = Object.entries(loadService(name)).map(([method, definition]) => {
    const handler = handlers[definition.originalName as keyof Services[Name]] as unknown;
    implementation[method] = definition.responseStream
      ? serveStream(method, handler as StreamHandler, observe)
      : serveUnary(method, handler as UnaryHandler, observe);
    const requestDeserialize = (bytes: Buffer): unknown => {
      try {
        // From a Buffer, protobufjs accepts a string that ends beyond the message, truncated.
        definition.requestDeserialize(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) as Buffer);
        const request = definition.requestDeserialize(bytes);
        if (hasBrokenText(request, bytes)) throw new Error('a text in it is not UTF-8');
        return request;
      } catch (error) {
        return new RequestError(`${method}: the request is not a valid message: ${(error as Error).message}`);
      }
    };
    // Encoders are compiled on first use: here rather than in the first pull.
    definition.responseSerialize({});
    return [method, { ...definition, requestDeserialize }];
  });
  server.addService(Object.fromEntries(definitions), implementation);
}

/**
 * Whether a string was not UTF-8: invalid bytes became U+FFFD, and two keys may have become one. A string that really contains
 * U+FFFD occurs in the request's bytes.
 */
function hasBrokenText(value: unknown, bytes: Buffer): boolean {
  if (typeof value === 'string') return value.includes('\ufffd') && !bytes.includes(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([name, inner]) => hasBrokenText(name, bytes) || hasBrokenText(inner, bytes));
}

type UnaryHandler = (request: unknown, call: CallContext) => Promise<unknown>;
type StreamHandler = (request: unknown, call: CallContext) => Iterable<unknown>;

function serveUnary(method: string, handler: UnaryHandler, observe: CallObserver) {
  return async (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => {
    const startedMs = performance.now();
    const { signal, release } = watchCall(call);
    observe.started(method);
    try {
      if (call.request instanceof RequestError) throw call.request;
      const response = await handler(call.request, { signal });
      release();
      observe.finished(method, performance.now() - startedMs, undefined);
      done(null, response);
    } catch (error) {
      observe.finished(method, performance.now() - startedMs, error);
      done(toStatus(error));
    }
  };
}

function serveStream(method: string, handler: StreamHandler, observe: CallObserver) {
  return async (call: ServerWritableStream<unknown, unknown>) => {
    const startedMs = performance.now();
    observe.started(method);
    try {
      if (call.request instanceof RequestError) throw call.request;
      for (const message of handler(call.request, { signal: watchCall(call).signal })) {
        if (!call.write(message))
          await new Promise((resolve) => call.once('drain', resolve).once('cancelled', resolve));
        if (call.cancelled) break;
      }
      observe.finished(method, performance.now() - startedMs, undefined);
      call.end();
    } catch (error) {
      observe.finished(method, performance.now() - startedMs, error);
      call.emit('error', toStatus(error));
    }
  };
}

/** Aborted when the caller cancels; not after `release`, once the response is sent and only the stream closes. */
function watchCall(call: {
  on(event: 'cancelled', listener: () => void): unknown;
  off(event: 'cancelled', listener: () => void): unknown;
  cancelled: boolean;
}): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  if (call.cancelled) abort();
  else call.on('cancelled', abort);
  return { signal: controller.signal, release: () => void call.off('cancelled', abort) };
}

/**
 * Binds the server to a unix socket with mode 0600. A stale socket is replaced; one that accepts connections belongs to a
 * running daemon and is an error.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await removeStaleSocket(path);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  }).catch((error: Error) => {
    throw new Error(`listen on ${path}: ${error.message}; choose another --address`, { cause: error });
  });
  await chmod(path, 0o600);
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`listen on ${path}: it exists and is not a socket; choose another --address`);
  if (await answers(path)) {
    throw new Error(`listen on ${path}: another daemon is already listening; stop it, or choose another --address`);
  }
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(2000, () => settle(true));
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}

/** Waits for running calls up to `graceMs`, then ends them. */
export async function stopServer(server: Server, graceMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
