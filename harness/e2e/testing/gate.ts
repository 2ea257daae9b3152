import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP port on loopback in front of a server, which can be shut: then nobody answers there any more. */
export interface Gate {
  /** `host:port`, the same over its life. */
  readonly address: string;
  shut(): Promise<void>;
  open(): Promise<void>;
}

/** An open gate to `upstream` (`host:port`). */
export async function openGate(upstream: string): Promise<Gate> {
  const [host, port] = [upstream.slice(0, upstream.lastIndexOf(':')), upstream.slice(upstream.lastIndexOf(':') + 1)];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const behind = connect({ host, port: Number(port) });
    for (const [socket, other] of [
      [client, behind],
      [behind, client],
    ] as const) {
      sockets.add(socket);
      socket.once('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.on('error', () => {});
      socket.pipe(other);
    }
  });
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
  return {
    address: `127.0.0.1:${own}`,
    open: () => listen(own),
    shut: () =>
      new Promise((resolve) => {
        if (!server.listening) return resolve();
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
