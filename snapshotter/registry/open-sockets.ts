import { Socket } from 'node:net';
import type { buildConnector } from 'undici';

/**
 * The sockets of a client, to be ended with it: undici's `destroy` forgets those that are still being connected, which
 * would live on, and the process with them, until their time limit.
 */
export class OpenSockets {
  readonly #sockets = new Set<Socket>();

  /** The same connector, its sockets noted. undici's own return the socket, though they do not declare it. */
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
