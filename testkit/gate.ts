import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Lifetime, undoAfter } from './lifetime.ts';

/** A TCP relay on loopback in front of a server. */
export interface Gate {
  /** `host:port`; stays the same when the gate opens again. */
  readonly address: string;
  /** Forwards new connections, as at the start. Those that were stalled are reset. */
  open(): Promise<void>;
  /** Connections stay, new ones are accepted, and no data passes. */
  stall(): void;
  /** Connections are reset, and new ones refused. */
  refuse(): Promise<void>;
}

/** An open gate to `upstream` (`host:port`). */
export async function openGate(lifetime: Lifetime, upstream: string): Promise<Gate> {
  const [host, port] = [upstream.slice(0, upstream.lastIndexOf(':')), upstream.slice(upstream.lastIndexOf(':') + 1)];
  const sockets = new Set<Socket>();
  let isStalled = false;
  const server = createServer({ allowHalfOpen: true }, (client) => {
    track(client);
    if (isStalled) return;
    const behind = connect({ host, port: Number(port), allowHalfOpen: true });
    track(behind);
    client.once('close', () => behind.destroy());
    behind.once('close', () => client.destroy());
    client.pipe(behind).pipe(client);
  });
  function track(socket: Socket): void {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  }
  const reset = () => {
    for (const socket of sockets) socket.destroy();
  };
  const listen = (on: number) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(on, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  await listen(0);
  const own = (server.address() as AddressInfo).port;
  const gate: Gate = {
    address: `127.0.0.1:${own}`,
    async open() {
      if (isStalled) reset();
      isStalled = false;
      if (!server.listening) await listen(own);
    },
    stall() {
      isStalled = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    refuse: () =>
      new Promise((resolve) => {
        if (!server.listening) return resolve();
        server.close(() => resolve());
        reset();
      }),
  };
  undoAfter(lifetime, gate.refuse);
  return gate;
}
