import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { loadService } from './load.ts';
import type { Services } from './types/services.ts';
import type { Partially, ServerStream, Unary } from './well-known.ts';

export type StatusName = keyof typeof status;

/** A failed call, with the status from the peer or the transport. */
export class RpcError extends Error {
  readonly code: StatusName;
  readonly method: string;
  /** The peer's message. */
  readonly details: string;

  constructor(method: string, address: string, cause: ServiceError) {
    const code = (status[cause.code] ?? 'UNKNOWN') as StatusName;
    super(`${method} at ${address}: ${code}: ${cause.details}`, { cause });
    this.name = 'RpcError';
    this.code = code;
    this.method = method;
    this.details = cause.details;
  }
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default: the client's. */
  readonly timeoutMs?: number | undefined;
  /** containerd's namespace for this call; default: the client's. */
  readonly namespace?: string | undefined;
}

export interface ClientOptions {
  readonly namespace?: string | undefined;
  /** Default 60 seconds. */
  readonly timeoutMs?: number | undefined;
}

type MethodOf<T> =
  T extends Unary<infer Request, infer Response>
    ? (request: Partially<Request>, options?: CallOptions) => Promise<Response>
    : T extends ServerStream<infer Request, infer Response>
      ? (request: Partially<Request>, options?: CallOptions) => AsyncIterable<Response>
      : never;

export type ServiceClient<Methods> = { readonly [Name in keyof Methods]: MethodOf<Methods[Name]> } & {
  /** Closes the connection; calls in flight fail with CANCELLED. */
  close(): void;
};

/** containerd's own limit; grpc-js receives at most 4 MiB by default. */
const maxMessageBytes = 16 << 20;

/** A client of one service at `address` ("unix:/run/x.sock", "/run/x.sock" or "host:port"). Connects at the first call. */
export function openClient<Name extends keyof Services>(
  name: Name,
  address: string,
  defaults: ClientOptions = {},
): ServiceClient<Services[Name]> {
  const target = address.startsWith('/') ? `unix:${address}` : address;
  const client = new Client(target, credentials.createInsecure(), {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    // A daemon starts within a second, so a longer backoff would only delay the caller.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
    // Clients of different daemons that reuse one path must not share a connection.
    'grpc.use_local_subchannel_pool': 1,
  });
  const methods: Record<string, unknown> = { close: () => client.close() };
  for (const definition of Object.values(loadService(name))) {
    const { path, requestSerialize, responseDeserialize, responseStream, originalName } = definition;
    const prepareCall = (options: CallOptions) => {
      const metadata = new Metadata();
      const namespace = options.namespace ?? defaults.namespace;
      if (namespace !== undefined) metadata.set('containerd-namespace', namespace);
      return { metadata, deadline: Date.now() + (options.timeoutMs ?? defaults.timeoutMs ?? 60_000) };
    };
    methods[originalName ?? path] = responseStream
      ? async function* (request: unknown, options: CallOptions = {}) {
          const { metadata, deadline } = prepareCall(options);
          const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata, {
            deadline,
          });
          // A caller that stopped early no longer handles errors.
          call.on('error', () => {});
          const cancel = () => call.cancel();
          options.signal?.addEventListener('abort', cancel, { once: true });
          if (options.signal?.aborted) cancel();
          try {
            yield* call;
          } catch (error) {
            throw new RpcError(path, address, error as ServiceError);
          } finally {
            options.signal?.removeEventListener('abort', cancel);
            call.cancel();
          }
        }
      : (request: unknown, options: CallOptions = {}) =>
          new Promise((resolve, reject) => {
            const { metadata, deadline } = prepareCall(options);
            const cancel = () => call.cancel();
            const call = client.makeUnaryRequest(
              path,
              requestSerialize,
              responseDeserialize,
              request,
              metadata,
              { deadline },
              (error, response) => {
                options.signal?.removeEventListener('abort', cancel);
                if (error) reject(new RpcError(path, address, error));
                else resolve(response);
              },
            );
            options.signal?.addEventListener('abort', cancel, { once: true });
            if (options.signal?.aborted) cancel();
          });
  }
  return methods as ServiceClient<Services[Name]>;
}
