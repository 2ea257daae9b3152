import { Socket } from 'node:net';
import type { buildConnector } from 'undici';

/**
 * The sockets of a client, closed together with it: undici's `destroy` misses those that are still connecting, which would
 * keep the process alive until their timeout.
 */
export class OpenSockets {
  readonly #sockets = new Set<Socket>();

  /** Wraps a connector and tracks its sockets. undici's connectors return the socket, though their types do not say so. */
  note(connect: buildConnector.connector): buildConnector.connector {
    return (options, callback) => {
      const socket: unknown = connect(options, callback);
      if (!(socket instanceof Socket)) return;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    };
  }

  destroy(): void {
    for (const socket of this.#sockets) socket.destroy(new Error('the client was closed'));
  }
}
