import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { TestCertificate } from '../../../testkit/registry-simulator/certificate.ts';

export interface ForwardProxy {
  /** `127.0.0.1:port` */
  readonly host: string;
  /** Its request lines: `GET http://registry.test/v2/`, `CONNECT registry.test:443`. */
  readonly asked: readonly string[];
  /** Connections that clients opened. */
  readonly connections: number;
  close(): Promise<void>;
}

export interface ForwardProxyOptions {
  /** `host:port` that all requests are forwarded to, whatever their host. */
  readonly upstream: string;
  /** `user:password`; responds 407 without it. */
  readonly credentials?: string;
  /** Responds to everything with this status. */
  readonly refusesWith?: number;
  readonly tls?: TestCertificate;
}

/** A forward proxy: http requests are forwarded, https goes through CONNECT. */
export async function startForwardProxy(options: ForwardProxyOptions): Promise<ForwardProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const [upstreamHost, upstreamPort] = options.upstream.split(':') as [string, string];
  const track = (socket: Socket): Socket => {
    sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
    return socket;
  };
  const refusal = (request: IncomingMessage): number | undefined => {
    asked.push(`${request.method} ${request.url}`);
    const expected = options.credentials === undefined ? undefined : btoa(options.credentials);
    if (expected !== undefined && request.headers['proxy-authorization'] !== `Basic ${expected}`) return 407;
    return options.refusesWith;
  };

  const forward = (request: IncomingMessage, response: ServerResponse): void => {
    const status = refusal(request);
    if (status !== undefined) {
      response.writeHead(status, { 'proxy-authenticate': 'Basic realm="company"' }).end('refused by the proxy');
      return;
    }
    const { pathname, search } = new URL(request.url!);
    const { 'proxy-authorization': _mine, 'proxy-connection': _hop, ...headers } = request.headers;
    const passed = httpRequest({
      host: upstreamHost,
      port: upstreamPort,
      method: request.method,
      path: pathname + search,
      headers,
    });
    passed.on('response', (answer) => answer.pipe(response.writeHead(answer.statusCode!, answer.headers)));
    passed.on('error', () => response.destroy());
    request.pipe(passed);
  };
  const server =
    options.tls === undefined
      ? createServer(forward)
      : createTlsServer({ key: options.tls.keyPem, cert: options.tls.certPem }, forward);
  server.on('connection', (socket: Socket) => {
    connections++;
    track(socket);
  });
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    track(client);
    const status = refusal(request);
    if (status !== undefined) {
      client.end(`HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const upstream = track(connect(Number(upstreamPort), upstreamHost));
    upstream.once('connect', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.pipe(upstream).pipe(client);
    });
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    get connections() {
      return connections;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
