import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** One registry is several servers, each on a loopback address of its own. */
export type Site =
  | 'registry'
  /** Where blobs are redirected to, with a signature. */
  | 'cdn'
  /** Where tokens are issued, if not by the registry itself. */
  | 'token'
  /** A stranger that faults redirect to: has all blobs and tokens for everybody, and must never be told a secret. */
  | 'elsewhere';

export type RequestKind =
  | 'ping'
  | 'manifest'
  | 'blob'
  /** HEAD of a blob or a manifest. */
  | 'look'
  | 'mount'
  /** Begins, sends or cancels an upload. */
  | 'upload'
  /** Puts a manifest. */
  | 'tag'
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

/** An answer before it is written: what faults bend. */
export interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body?: AsyncIterable<Buffer>;
  /** The connection ends after so many bytes of the body. */
  readonly cutAfterBytes?: number;
  /** After so many bytes nothing more comes, and the connection stays. */
  readonly stallAfterBytes?: number;
  /** Before each piece of the body. */
  readonly pieceDelayMs?: number;
  /** The end of the connection ends the body; nothing else says how long it is. */
  readonly endsWithConnection?: boolean;
  /** Written to the socket instead of all the rest. */
  readonly raw?: string;
  /** Lets go of what is behind the body, whether it was read or not. */
  readonly release?: () => void;
}

const namedPath = /^\/v2\/(.+)\/(blobs|manifests)\/([^/]+)$/;
const uploadPath = /^\/v2\/(.+)\/blobs\/uploads\/([^/]*)$/;

/** What a request is for. */
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

/** An answer with these bytes, their length told. */
export function answerWith(status: number, body: Buffer | string = '', headers: OutgoingHttpHeaders = {}): Answer {
  const bytes = Buffer.from(body);
  return { status, headers: { 'content-length': bytes.length, ...headers }, body: piecesOf(bytes) };
}
