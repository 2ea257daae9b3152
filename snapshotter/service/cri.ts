import {
  Client,
  credentials,
  type MethodDefinition,
  type Server,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { loadService } from '../api/load.ts';
import type { PullImageRequest, RemoveImageRequest } from '../api/types/cri.ts';
import { describeError, type Log } from '../platform/log.ts';
import type { CriKeychain } from '../registry/cri-keychain.ts';
import { toStatus } from './status.ts';

/** Current kubelets use v1; containerd 1.6 also serves v1alpha2, with the same messages, to older ones. */
const packages = ['runtime.v1', 'runtime.v1alpha2'] as const;
const methods = ['ListImages', 'ImageStatus', 'PullImage', 'RemoveImage', 'ImageFsInfo'] as const;

/**
 * A proxy of the CRI image service. Calls are forwarded to containerd byte for byte, so that fields of later versions survive;
 * credentials of PullImage are remembered for the layers that will be fetched lazily.
 */
export class CriProxy {
  readonly #client: Client;
  readonly #keychain: CriKeychain;
  readonly #log: Log;

  /** `socketPath`: of containerd's image service. Connects at the first call. */
  constructor(socketPath: string, keychain: CriKeychain, log: Log) {
    this.#client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': 16 << 20,
      'grpc.max_send_message_length': 16 << 20,
      'grpc.max_reconnect_backoff_ms': 3000,
    });
    this.#keychain = keychain;
    this.#log = log;
  }

  register(server: Server): void {
    for (const name of packages) {
      const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
      const implementation: Record<string, (call: RawCall, done: sendUnaryData<Buffer>) => void> = {};
      for (const method of methods) {
        const path = `/${name}.ImageService/${method}`;
        definition[method] = {
          path,
          requestStream: false,
          responseStream: false,
          requestSerialize: asItIs,
          requestDeserialize: asItIs,
          responseSerialize: asItIs,
          responseDeserialize: asItIs,
        };
        implementation[method] = (call, done) => {
          this.#observe(method, call.request);
          this.#forward(path, call, done);
        };
      }
      server.addService(definition, implementation);
    }
  }

  close(): void {
    this.#client.close();
  }

  #forward(path: string, call: RawCall, done: sendUnaryData<Buffer>): void {
    const metadata = call.metadata.clone();
    const options = { deadline: call.getDeadline() };
    const forwarded = this.#client.makeUnaryRequest(
      path,
      asItIs,
      asItIs,
      call.request,
      metadata,
      options,
      (error, response) => {
        // containerd's status, or that of the connection, unchanged.
        done(error, response);
      },
    );
    call.on('cancelled', () => forwarded.cancel());
  }

  /** Never fails the call: an invalid image reference is left for containerd to refuse. */
  #observe(method: string, request: Buffer): void {
    if (method !== 'PullImage' && method !== 'RemoveImage') return;
    try {
      const definition = loadService('runtime.v1.ImageService')[method]!;
      const message = definition.requestDeserialize(request) as PullImageRequest | RemoveImageRequest;
      const image = message.image?.image ?? '';
      if (method === 'RemoveImage') this.#keychain.forget(image);
      else this.#keychain.remember(image, (message as PullImageRequest).auth ?? undefined);
    } catch (error) {
      this.#log.debug({ method, error: describeError(toStatus(error).details) }, 'no credentials taken from this call');
    }
  }
}

type RawCall = ServerUnaryCall<Buffer, Buffer>;

function asItIs(bytes: Buffer): Buffer {
  return bytes;
}
