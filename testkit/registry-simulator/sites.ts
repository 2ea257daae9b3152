import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { TestCertificate } from './certificate.ts';
import type { Site } from './exchange.ts';

/** Protocols of a site with TLS: HTTP/1.1, both (by ALPN), or HTTP/2 only. */
export type Protocols = 'http1' | 'http2-offered' | 'http2-only';

/** A different address per site, so that no client can mistake one for another. */
const addresses: Readonly<Record<Site, string>> = {
  registry: '127.0.0.1',
  cdn: '127.0.0.2',
  token: '127.0.0.3',
  elsewhere: '127.0.0.4',
};

export const sites = Object.keys(addresses) as readonly Site[];

export interface OpenSite {
  readonly site: Site;
  /** `127.0.0.1:port` */
  readonly host: string;
  close(): Promise<void>;
}

export type Listener = (request: IncomingMessage, response: ServerResponse) => void;

/** A listening server of one site. */
export async function openSite(
  site: Site,
  certificate: TestCertificate | undefined,
  protocols: Protocols,
  listener: Listener,
  onConnection: () => void,
): Promise<OpenSite> {
  const server = serverOf(certificate, protocols, listener);
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    onConnection();
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, addresses[site], resolve);
  });
  return {
    site,
    host: `${addresses[site]}:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function serverOf(certificate: TestCertificate | undefined, protocols: Protocols, listener: Listener): Server {
  if (certificate === undefined) return createServer(listener);
  const tls = { key: certificate.keyPem, cert: certificate.certPem };
  if (protocols === 'http1') return createTlsServer(tls, listener);
  // The HTTP/2 compatibility API has all that is used of HTTP/1 here.
  const any = listener as unknown as (request: Http2ServerRequest, response: Http2ServerResponse) => void;
  return createSecureServer({ ...tls, allowHTTP1: protocols === 'http2-offered' }, any);
}
