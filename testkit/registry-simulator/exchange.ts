import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** A registry consists of several servers, each on its own loopback address. */
export type Site =
  | 'registry'
  /** Where blobs are redirected to, with a signature. */
  | 'cdn'
  /** The token service, if the registry does not issue tokens itself. */
  | 'token'
  /** A third party that faults redirect to. It has all blobs, issues tokens to anyone, and must never receive a secret. */
  | 'elsewhere';

export type RequestKind =
  | 'ping'
  | 'manifest'
  | 'blob'
  /** HEAD of a blob or a manifest. */
  | 'look'
  | 'mount'
  /** POST, PUT or DELETE of an upload. */
  | 'upload'
  /** PUT of a manifest. */
  | 'tag'
  /** DELETE of a manifest. */
  | 'delete'
  | 'referrers'
  | 'token'
  | 'other';

export interface SimulatedRequest {
  readonly site: Site;
  readonly kind: RequestKind;
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly repository: string | undefined;
  /** The digest or tag that the path ends with. */
  readonly name: string | undefined;
  readonly body: AsyncIterable<Buffer>;
}

/** A response before it is written, which faults modify. */
export interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body?: AsyncIterable<Buffer>;
  /** Closes the connection after this many bytes of the body. */
  readonly cutAfterBytes?: number;
  /** Stops after this many bytes of the body, and keeps the connection open. */
  readonly stallAfterBytes?: number;
  /** Before each piece of the body. */
  readonly pieceDelayMs?: number;
  /** Delimits the body by the end of the connection only. */
  readonly endsWithConnection?: boolean;
  /** Written to the socket instead of an HTTP response. */
  readonly raw?: string;
  /** Releases what is behind the body, whether it was read or not. */
  readonly release?: () => void;
}

const namedPath = /^\/v2\/(.+)\/(blobs|manifests|referrers)\/([^/]+)$/;
const uploadPath = /^\/v2\/(.+)\/blobs\/uploads\/([^/]*)$/;

/** Classifies a request by its method and path. */
export function classify(site: Site, method: string, url: URL): Pick<SimulatedRequest, 'kind' | 'repository' | 'name'> {
  if (url.pathname === '/token') return { kind: 'token', repository: undefined, name: undefined };
  if (/^\/v2\/?$/.test(url.pathname)) return { kind: 'ping', repository: undefined, name: undefined };
  const upload = uploadPath.exec(url.pathname);
  if (upload !== null) {
    const kind = method === 'POST' && url.searchParams.has('mount') ? 'mount' : 'upload';
    return { kind, repository: upload[1], name: upload[2] };
  }
  const [, repository, collection, name] = namedPath.exec(url.pathname) ?? [];
  if (repository === undefined) return { kind: 'other', repository, name };
  if (collection === 'referrers') return { kind: 'referrers', repository, name };
  if (method === 'DELETE') return { kind: 'delete', repository, name };
  const readKind = collection === 'blobs' ? 'blob' : 'manifest';
  const kind = method === 'HEAD' && site === 'registry' ? 'look' : method === 'PUT' ? 'tag' : readKind;
  return { kind, repository, name };
}

export async function* piecesOf(bytes: Buffer, pieceBytes = 64 * 1024): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += pieceBytes) yield bytes.subarray(offset, offset + pieceBytes);
}

export async function readAll(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A response with these bytes and their Content-Length. */
export function answerWith(status: number, body: Buffer | string = '', headers: OutgoingHttpHeaders = {}): Answer {
  const bytes = Buffer.from(body);
  return { status, headers: { 'content-length': bytes.length, ...headers }, body: piecesOf(bytes) };
}
