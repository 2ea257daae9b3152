import { createHmac, randomBytes } from 'node:crypto';
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { answerBlob, type BlobAnswer } from './blob-answer.ts';
import { makeCertificate, type TestCertificate } from './certificate.ts';
import { type Fault, FaultPlan, type Faults } from './fault-plan.ts';
import { type TestAuth, TestTokenService } from './token-service.ts';

export interface HostileBehaviour {
  /** Share of requests (manifests, blobs, CDN) that go wrong, by kind of fault. */
  readonly faults: Faults;
  /** How a range of a blob is answered. */
  readonly blobAnswer: BlobAnswer;
  /** Content-Range says `*` for the blob's size. */
  readonly hidesSize: boolean;
  /** Blob GETs are redirected to a signed URL on another host that works for so long; undefined: not redirected. */
  readonly cdnLifetimeMs: number | undefined;
  /** The signed URL says when it ends (else only a 403 tells). */
  readonly cdnTellsExpiry: boolean;
}

export interface HostileOptions extends Partial<HostileBehaviour> {
  /** `host:port` of a plain HTTP registry. */
  readonly upstream: string;
  readonly tls?: boolean;
  readonly auth?: TestAuth;
  readonly seed?: number;
}

/** What the proxy has seen and done since it started. */
export interface HostileCounts {
  requests: number;
  blobs: number;
  manifests: number;
  cdn: number;
  cdnRefused: number;
  unauthorized: number;
  /** Requests at the CDN that brought an Authorization or the private header along. */
  leaks: number;
  tooManyRequests: number;
  serverErrors: number;
  resets: number;
  cuts: number;
  connections: number;
}

export interface HostileProxy {
  /** `127.0.0.1:port` */
  readonly host: string;
  /** `127.0.0.2:port` */
  readonly cdnHost: string;
  /** With `tls`: what a client has to trust. */
  readonly caPem: string | undefined;
  readonly counts: Readonly<HostileCounts>;
  /** Tokens issued so far. */
  issuedTokens(): number;
  revokeTokens(): void;
  /** Changes the behaviour for requests that come from now on. */
  behave(change: Partial<HostileBehaviour>): void;
  close(): Promise<void>;
}

/** The header that tests give a host and that must not travel to another. */
export const privateHeader = 'x-private';

const blobPath = /^\/v2\/(.+)\/blobs\/(sha256:[0-9a-f]{64})$/;
const anyPath = /^\/v2\/(.+)\/(?:blobs|manifests|tags)\//;

/** A real proxy before a real registry that does to its clients what networks and clouds do, repeatably. */
export async function startHostileProxy(options: HostileOptions): Promise<HostileProxy> {
  const proxy = new HostileServer(options, options.tls === true ? await makeCertificate() : undefined);
  await proxy.listen();
  return proxy;
}

class HostileServer implements HostileProxy {
  readonly counts: HostileCounts = {
    requests: 0,
    blobs: 0,
    manifests: 0,
    cdn: 0,
    cdnRefused: 0,
    unauthorized: 0,
    leaks: 0,
    tooManyRequests: 0,
    serverErrors: 0,
    resets: 0,
    cuts: 0,
    connections: 0,
  };
  readonly caPem: string | undefined;
  readonly #upstream: string;
  readonly #scheme: string;
  readonly #front: Server;
  readonly #cdn: Server;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });
  readonly #sockets = new Set<Socket>();
  readonly #tokens: TestTokenService | undefined;
  readonly #plan: FaultPlan;
  readonly #signingKey = randomBytes(16);
  #behaviour: HostileBehaviour;

  constructor(options: HostileOptions, certificate: TestCertificate | undefined) {
    const { upstream, auth, seed } = options;
    this.#upstream = upstream;
    this.#scheme = certificate === undefined ? 'http' : 'https';
    this.caPem = certificate?.certPem;
    this.#tokens = auth === undefined ? undefined : new TestTokenService(auth);
    this.#plan = new FaultPlan(seed ?? 1);
    this.#behaviour = {
      faults: options.faults ?? {},
      blobAnswer: options.blobAnswer ?? 'range',
      hidesSize: options.hidesSize ?? false,
      cdnLifetimeMs: options.cdnLifetimeMs,
      cdnTellsExpiry: options.cdnTellsExpiry ?? true,
    };
    this.#front = this.#serve(certificate, (request, response) => this.#onRequest(request, response));
    this.#cdn = this.#serve(certificate, (request, response) => this.#onCdnRequest(request, response));
  }

  get host(): string {
    return `127.0.0.1:${(this.#front.address() as AddressInfo).port}`;
  }

  get cdnHost(): string {
    return `127.0.0.2:${(this.#cdn.address() as AddressInfo).port}`;
  }

  issuedTokens(): number {
    return this.#tokens?.issued ?? 0;
  }

  revokeTokens(): void {
    this.#tokens?.revokeAll();
  }

  behave(change: Partial<HostileBehaviour>): void {
    this.#behaviour = { ...this.#behaviour, ...change };
  }

  async listen(): Promise<void> {
    await Promise.all([
      new Promise<void>((resolve) => this.#front.listen(0, '127.0.0.1', resolve)),
      new Promise<void>((resolve) => this.#cdn.listen(0, '127.0.0.2', resolve)),
    ]);
  }

  async close(): Promise<void> {
    this.#agent.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([this.#front, this.#cdn].map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #serve(
    certificate: TestCertificate | undefined,
    onRequest: (request: IncomingMessage, response: ServerResponse) => Promise<void> | void,
  ): Server {
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      this.counts.requests++;
      response.on('error', () => {});
      Promise.resolve(onRequest(request, response)).catch(() => response.destroy());
    };
    const server =
      certificate === undefined
        ? createServer(listener)
        : createTlsServer({ key: certificate.keyPem, cert: certificate.certPem }, listener);
    server.on('connection', (socket: Socket) => {
      this.counts.connections++;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    return server;
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', `${this.#scheme}://${this.host}`);
    if (url.pathname === '/token') return await this.#tokens?.serve(request, response);

    const repository = anyPath.exec(url.pathname)?.[1] ?? '';
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const action = isRead ? 'pull' : 'push';
    if (this.#tokens?.allows(request.headers.authorization, repository, action) === false) {
      this.counts.unauthorized++;
      request.resume();
      const wants = action === 'push' ? 'pull,push' : 'pull';
      const challenge = this.#tokens.challenge(url.origin, repository, wants);
      response.writeHead(401, { 'www-authenticate': challenge }).end('{"errors":[{"code":"UNAUTHORIZED"}]}');
      return;
    }

    const isBlob = request.method === 'GET' && blobPath.test(url.pathname);
    if (isBlob) this.counts.blobs++;
    if (url.pathname.includes('/manifests/')) this.counts.manifests++;
    const fault = isRead ? this.#plan.next(faultKey(request), this.#behaviour.faults) : undefined;
    if (this.#refuse(fault, request, response)) return;
    const { cdnLifetimeMs } = this.#behaviour;
    if (isBlob && cdnLifetimeMs !== undefined) {
      response.writeHead(307, { location: this.#sign(url.pathname, cdnLifetimeMs) }).end();
      return;
    }
    this.#forward(request, response, isBlob, fault);
  }

  #onCdnRequest(request: IncomingMessage, response: ServerResponse): void {
    this.counts.cdn++;
    const url = new URL(request.url ?? '/', `${this.#scheme}://${this.cdnHost}`);
    if (request.headers.authorization !== undefined || request.headers[privateHeader] !== undefined) {
      this.counts.leaks++;
    }
    const expires = url.searchParams.get('Expires') ?? url.searchParams.get('until') ?? '';
    const isValid = url.searchParams.get('Signature') === this.#signature(url.pathname, expires);
    if (!isValid || Number(expires) * 1000 <= Date.now()) {
      this.counts.cdnRefused++;
      response.writeHead(403).end('<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>');
      return;
    }
    const fault = this.#plan.next(`cdn ${faultKey(request)}`, this.#behaviour.faults);
    if (!this.#refuse(fault, request, response)) this.#forward(request, response, true, fault);
  }

  /** Faults that leave no answer, or one that is not what was asked for. */
  #refuse(fault: Fault | undefined, request: IncomingMessage, response: ServerResponse): boolean {
    switch (fault) {
      case 'tooManyRequests':
        this.counts.tooManyRequests++;
        response.writeHead(429, { 'retry-after': String(this.#behaviour.faults.retryAfterSec ?? 0) }).end();
        return true;
      case 'serverError':
        this.counts.serverErrors++;
        response.writeHead(503).end('{"errors":[{"code":"UNAVAILABLE"}]}');
        return true;
      case 'reset':
        this.counts.resets++;
        request.socket.resetAndDestroy();
        return true;
      case 'cut':
      case undefined:
        return false;
    }
  }

  #forward(request: IncomingMessage, response: ServerResponse, isBlob: boolean, fault: Fault | undefined): void {
    const { blobAnswer, hidesSize } = this.#behaviour;
    const { authorization: _kept, ...headers } = request.headers;
    const path = new URL(request.url ?? '/', 'http://test');
    path.searchParams.delete('ns');
    if (this.#scheme === 'https') headers['x-forwarded-proto'] = 'https';
    const [host, port] = this.#upstream.split(':');
    const onward = httpRequest(
      { host, port, agent: this.#agent, method: request.method, path: path.pathname + path.search, headers },
      (answer) => {
        const cutAfter =
          fault === 'cut' ? this.#plan.share() * Number(answer.headers['content-length'] ?? 0) : undefined;
        if (cutAfter !== undefined) this.counts.cuts++;
        answerBlob(answer, response, isBlob ? blobAnswer : 'range', hidesSize && isBlob, cutAfter);
      },
    );
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    if (isBlob && (blobAnswer === 'whole' || isUnknownSuffix(blobAnswer, request))) onward.removeHeader('range');
    if (blobAnswer === 'suffix-refused' && isUnknownSuffix(blobAnswer, request)) {
      onward.destroy();
      response.writeHead(400).end();
      return;
    }
    request.pipe(onward);
  }

  #sign(path: string, lifetimeMs: number): string {
    const expires = String((Date.now() + lifetimeMs) / 1000);
    const url = new URL(path, `${this.#scheme}://${this.cdnHost}`);
    url.searchParams.set(this.#behaviour.cdnTellsExpiry ? 'Expires' : 'until', expires);
    url.searchParams.set('Signature', this.#signature(path, expires));
    return url.href;
  }

  #signature(path: string, expires: string): string {
    return createHmac('sha256', this.#signingKey).update(`${path} ${expires}`).digest('base64url');
  }
}

function isUnknownSuffix(blobAnswer: BlobAnswer, request: IncomingMessage): boolean {
  const isSuffix = request.headers.range?.startsWith('bytes=-') === true;
  return isSuffix && (blobAnswer === 'suffix-whole' || blobAnswer === 'suffix-refused');
}

/** Retries and resumptions of one request share where they end. */
function faultKey(request: IncomingMessage): string {
  return `${request.method} ${request.url?.split('?')[0]} ${request.headers.range?.split('-')[1]}`;
}
