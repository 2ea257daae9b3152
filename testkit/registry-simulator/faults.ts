import { gzipSync } from 'node:zlib';
import { type Answer, answerWith, piecesOf, type RequestKind, readAll, type SimulatedRequest } from './exchange.ts';
import { refuse } from './memory-origin.ts';
import { asMultipart, partOf, relabelled, shortened, withExtraBytes, withoutLength } from './range-forms.ts';

/** What a fault may refer to besides the response. */
export interface Bending {
  readonly request: SimulatedRequest;
  /** A URL of the third party. */
  readonly elsewhere: (path: string) => URL;
}

/** One way in which a registry's responses differ from what they should be. */
export interface Fault {
  readonly name: string;
  /** The kinds of requests it affects, at every site. */
  readonly on: readonly RequestKind[];
  /** Affects only this many of them, the first ones; undefined: all. */
  readonly times?: number;
  /** A correct client still gets what it asked for. */
  readonly harmless: boolean;
  /** Changes the request before the correct registry answers it. */
  readonly asks?: (request: SimulatedRequest) => SimulatedRequest;
  readonly bend?: (answer: Answer, bending: Bending) => Answer | Promise<Answer>;
  /** Instead of a response. */
  readonly breaks?: 'reset' | 'hang';
}

type Bend = NonNullable<Fault['bend']>;

const reads = ['manifest', 'blob'] as const;
const pushes = ['look', 'mount', 'upload', 'tag'] as const;

const isSuffix = ({ headers }: SimulatedRequest): boolean => headers.range?.startsWith('bytes=-') === true;
const withoutRange = (request: SimulatedRequest): SimulatedRequest => {
  const { range: _asked, ...headers } = request.headers;
  return { ...request, headers };
};
const status =
  (code: number, headers: Record<string, string> = {}): Bend =>
  () =>
    answerWith(code, '', headers);
const location =
  (code: number, to: string): Bend =>
  () =>
    answerWith(code, '', { location: to });
const onSuffix =
  (bend: Bend): Bend =>
  (answer, bending) =>
    isSuffix(bending.request) ? bend(answer, bending) : answer;
const onSuccess =
  (bend: Bend): Bend =>
  (answer, bending) =>
    answer.status < 300 && answer.body !== undefined ? bend(answer, bending) : answer;
const onBytes = (change: (bytes: Buffer) => Buffer, headers: Record<string, string> = {}): Bend =>
  onSuccess(async (answer) => {
    const bytes = change(await readAll(answer.body!));
    return {
      ...answer,
      headers: { ...answer.headers, 'content-length': bytes.length, ...headers },
      body: piecesOf(bytes),
    };
  });

function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = copy.length >> 1; at < copy.length; at += 4096) copy[at] = copy[at]! ^ 0xff;
  return copy;
}

/** Responses to range requests. */
const rangeFaults: readonly Fault[] = [
  { name: 'range-whole', on: ['blob'], harmless: true, asks: withoutRange },
  { name: 'range-whole-chunked', on: ['blob'], harmless: true, asks: withoutRange, bend: withoutLength },
  { name: 'range-multipart', on: ['blob'], harmless: true, bend: (answer) => asMultipart(answer, 1) },
  { name: 'range-multipart-split', on: ['blob'], harmless: true, bend: (answer) => asMultipart(answer, 2) },
  {
    name: 'range-multipart-garbage',
    on: ['blob'],
    harmless: false,
    bend: (answer) =>
      partOf(answer) === undefined
        ? answer
        : { ...withoutLength(answer), headers: { 'content-type': 'multipart/byteranges; boundary=absent' } },
  },
  {
    name: 'range-total-hidden',
    on: ['blob'],
    harmless: true,
    bend: (a) => relabelled(a, (p) => ({ ...p, total: '*' })),
  },
  { name: 'range-short', on: ['blob'], harmless: true, bend: (answer) => shortened(answer, 50_000) },
  { name: 'range-416', on: ['blob'], harmless: false, bend: (a) => (partOf(a) === undefined ? a : answerWith(416)) },
  {
    name: 'range-shifted',
    on: ['blob'],
    harmless: false,
    bend: (answer) => relabelled(answer, ({ start, last, total }) => ({ start: start + 1, last: last + 1, total })),
  },
  {
    name: 'range-total-wrong',
    on: ['blob'],
    harmless: false,
    bend: (answer) => relabelled(answer, (part) => ({ ...part, total: String(part.last + 1000) })),
  },
  { name: 'range-unlabelled', on: ['blob'], harmless: false, bend: (answer) => unlabelled(answer) },
  { name: 'range-extra-bytes', on: ['blob'], harmless: false, bend: withExtraBytes },
  {
    name: 'suffix-whole',
    on: ['blob'],
    harmless: true,
    asks: (request) => (isSuffix(request) ? withoutRange(request) : request),
  },
  { name: 'suffix-400', on: ['blob'], harmless: true, bend: onSuffix(status(400)) },
  { name: 'suffix-403', on: ['blob'], harmless: true, bend: onSuffix(status(403)) },
  { name: 'suffix-416', on: ['blob'], harmless: true, bend: onSuffix(status(416)) },
  { name: 'suffix-500', on: ['blob'], harmless: true, bend: onSuffix(status(500)) },
  { name: 'suffix-501', on: ['blob'], harmless: true, bend: onSuffix(status(501)) },
];

function unlabelled(answer: Answer): Answer {
  const { 'content-range': _told, ...headers } = answer.headers;
  return { ...answer, headers };
}

const statusFaults: readonly Fault[] = [
  { name: '429-twice', on: reads, times: 2, harmless: true, bend: status(429, { 'retry-after': '0' }) },
  { name: '429-for-an-hour', on: reads, harmless: false, bend: status(429, { 'retry-after': '3600' }) },
  { name: '503-twice', on: reads, times: 2, harmless: true, bend: () => refuse(503, 'UNAVAILABLE') },
  { name: '500-always', on: reads, harmless: false, bend: status(500) },
  { name: '404-always', on: reads, harmless: false, bend: () => refuse(404, 'UNKNOWN') },
  { name: '403-always', on: reads, harmless: false, bend: () => refuse(403, 'DENIED') },
  { name: '401-bare', on: reads, harmless: false, bend: status(401) },
  {
    name: '401-unreadable',
    on: reads,
    harmless: false,
    bend: status(401, { 'www-authenticate': 'Bearer realm=":",,==' }),
  },
  { name: '418-always', on: reads, harmless: false, bend: status(418) },
  { name: '204-empty', on: reads, harmless: false, bend: () => ({ status: 204, headers: {} }) },
  { name: '304-unasked', on: reads, harmless: false, bend: () => ({ status: 304, headers: {} }) },
  { name: '200-empty', on: reads, harmless: false, bend: onSuccess(() => answerWith(200)) },
  {
    name: '500-with-html',
    on: reads,
    times: 1,
    harmless: true,
    bend: () => answerWith(500, '{<html>broken', { 'content-type': 'text/html' }),
  },
];

const redirectFaults: readonly Fault[] = [
  {
    name: 'redirect-elsewhere',
    on: reads,
    harmless: true,
    bend: (answer, { request, elsewhere }) =>
      request.site === 'registry'
        ? location(302, elsewhere(request.url.pathname).href)(answer, { request, elsewhere })
        : answer,
  },
  {
    name: 'redirect-relative-once',
    on: reads,
    times: 1,
    harmless: true,
    bend: (answer, bending) => location(307, bending.request.url.pathname)(answer, bending),
  },
  { name: 'redirect-loop', on: reads, harmless: false, bend: (a, b) => location(307, b.request.url.pathname)(a, b) },
  { name: 'redirect-nowhere', on: reads, harmless: false, bend: status(302) },
  { name: 'redirect-to-ftp', on: reads, harmless: false, bend: location(302, 'ftp://127.0.0.1/layer') },
  { name: 'redirect-to-a-closed-port', on: reads, harmless: false, bend: location(302, 'http://127.0.0.4:1/layer') },
  {
    name: 'redirect-with-userinfo',
    on: reads,
    times: 1,
    harmless: true,
    bend: (answer, bending) => {
      const url = new URL(bending.request.url);
      url.username = 'somebody';
      url.password = 'else';
      return location(307, url.href)(answer, bending);
    },
  },
];

const bodyFaults: readonly Fault[] = [
  { name: 'chunked', on: reads, harmless: true, bend: onSuccess(withoutLength) },
  {
    name: 'ends-with-connection',
    on: reads,
    harmless: true,
    bend: onSuccess((a) => ({ ...a, endsWithConnection: true })),
  },
  { name: 'slow', on: reads, harmless: true, bend: onSuccess((answer) => ({ ...answer, pieceDelayMs: 5 })) },
  {
    name: 'cut-once',
    on: reads,
    times: 1,
    harmless: true,
    bend: onSuccess((answer) => ({ ...answer, cutAfterBytes: 100 })),
  },
  { name: 'cut-always', on: reads, harmless: false, bend: onSuccess((answer) => ({ ...answer, cutAfterBytes: 100 })) },
  {
    name: 'cut-late',
    on: ['blob'],
    harmless: true,
    bend: onSuccess((answer) => ({ ...answer, cutAfterBytes: 70_000 })),
  },
  { name: 'stall-once', on: reads, times: 1, harmless: true, bend: onSuccess((a) => ({ ...a, stallAfterBytes: 100 })) },
  { name: 'length-too-long', on: reads, harmless: false, bend: lengthOffBy(10) },
  { name: 'length-too-short', on: reads, harmless: false, bend: lengthOffBy(-10) },
  { name: 'reset-twice', on: reads, times: 2, harmless: true, breaks: 'reset' },
  { name: 'reset-always', on: reads, harmless: false, breaks: 'reset' },
  { name: 'hang-once', on: reads, times: 1, harmless: true, breaks: 'hang' },
  { name: 'hang-always', on: reads, harmless: false, breaks: 'hang' },
  { name: 'not-http', on: reads, harmless: false, bend: (a) => ({ ...a, raw: 'SSH-2.0-OpenSSH_9.9\r\n' }) },
  {
    name: 'huge-header',
    on: reads,
    harmless: false,
    bend: (a) => ({ ...a, headers: { ...a.headers, 'x-huge': 'x'.repeat(64 * 1024) } }),
  },
  {
    name: 'claims-gzip',
    on: reads,
    harmless: true,
    bend: onSuccess((a) => ({ ...a, headers: { ...a.headers, 'content-encoding': 'gzip' } })),
  },
  {
    name: 'gzips-manifests',
    on: ['manifest'],
    harmless: true,
    bend: onBytes((bytes) => gzipSync(bytes), { 'content-encoding': 'gzip' }),
  },
  {
    name: 'gzips-blobs',
    on: ['blob'],
    harmless: false,
    bend: onBytes((bytes) => gzipSync(bytes), { 'content-encoding': 'gzip' }),
  },
  { name: 'damages-blobs', on: ['blob'], harmless: false, bend: onBytes(damaged) },
  { name: 'damages-manifests', on: ['manifest'], harmless: false, bend: onBytes(damaged) },
  { name: 'manifest-html', on: ['manifest'], harmless: false, bend: () => answerWith(200, '<html>login</html>') },
  {
    name: 'manifest-other-digest',
    on: ['manifest'],
    harmless: false,
    bend: onSuccess((a) => ({ ...a, headers: { ...a.headers, 'docker-content-digest': `sha256:${'0'.repeat(64)}` } })),
  },
];

function lengthOffBy(bytes: number): Bend {
  return onSuccess((answer) => {
    const told = Number(answer.headers['content-length'] ?? Number.NaN);
    if (Number.isNaN(told)) return answer;
    return { ...answer, headers: { ...answer.headers, 'content-length': Math.max(0, told + bytes) } };
  });
}

/** Responses of the token service. */
const tokenFaults: readonly Fault[] = [
  {
    name: 'token-empty-beside-access-token',
    on: ['token'],
    harmless: true,
    bend: renamed((token) => ({ token: '', access_token: token })),
  },
  {
    name: 'token-null-beside-access-token',
    on: ['token'],
    harmless: true,
    bend: renamed((token) => ({ token: null, access_token: token })),
  },
  { name: 'token-empty', on: ['token'], harmless: false, bend: renamed(() => ({ token: '' })) },
  {
    name: 'token-with-line-break',
    on: ['token'],
    harmless: false,
    bend: renamed((token) => ({ token: `${token}\r\nx-y: z` })),
  },
  {
    name: 'token-redirect-same-host',
    on: ['token'],
    times: 1,
    harmless: true,
    bend: (answer, bending) => location(307, `/token${bending.request.url.search}`)(answer, bending),
  },
  {
    name: 'token-redirect-elsewhere',
    on: ['token'],
    harmless: false,
    bend: (answer, bending) =>
      bending.request.site === 'elsewhere'
        ? answer
        : location(307, bending.elsewhere(`/token${bending.request.url.search}`).href)(answer, bending),
  },
  { name: 'token-redirect-loop', on: ['token'], harmless: false, bend: location(302, '/token') },
  { name: 'token-503-twice', on: ['token'], times: 2, harmless: true, bend: status(503) },
  {
    name: 'token-401',
    on: ['token'],
    harmless: false,
    bend: () => answerWith(401, '{"details":"wrong password: hunter2"}'),
  },
  { name: 'token-html', on: ['token'], harmless: false, bend: () => answerWith(200, '<html>login</html>') },
  {
    name: 'token-expires-at-once',
    on: ['token'],
    harmless: true,
    bend: renamed((token) => ({ token, expires_in: 0.001 })),
  },
  { name: 'token-useless', on: ['token'], harmless: false, bend: renamed(() => ({ token: 'never-issued' })) },
  { name: 'token-hangs-once', on: ['token'], times: 1, harmless: true, breaks: 'hang' },
  {
    name: 'token-not-for-pull-alone',
    on: ['token'],
    harmless: true,
    bend: (answer, { request }) => {
      const scopes = request.url.searchParams.getAll('scope');
      // As for a repository that does not exist yet: a push may create it, a pull is refused.
      const isNew = scopes.some((scope) => scope.includes(':team/target:') && !scope.includes('push'));
      return isNew ? refuse(403, 'DENIED') : answer;
    },
  },
];

function renamed(fields: (token: string) => object): Bend {
  return onSuccess(async (answer) => {
    const { token, access_token: other } = JSON.parse((await readAll(answer.body!)).toString()) as Record<
      string,
      string
    >;
    return answerWith(200, JSON.stringify({ expires_in: 60, ...fields(token ?? other ?? '') }));
  });
}

/** Responses to pushes. Looks and mounts only save work, so refusing them is harmless. */
const pushFaults: readonly Fault[] = [
  ...[400, 403, 404, 405, 500, 501].map(
    (code): Fault => ({ name: `look-${code}`, on: ['look'], harmless: true, bend: status(code) }),
  ),
  { name: 'look-401-bare', on: ['look'], harmless: true, bend: status(401) },
  { name: 'look-hangs', on: ['look'], harmless: true, breaks: 'hang' },
  { name: 'look-resets', on: ['look'], harmless: true, breaks: 'reset' },
  ...[400, 403, 404, 405, 500].map(
    (code): Fault => ({ name: `mount-${code}`, on: ['mount'], harmless: true, bend: status(code) }),
  ),
  {
    name: 'upload-absolute-location',
    on: ['upload'],
    harmless: true,
    bend: (answer, { request }) => withLocation(answer, (to) => new URL(to, request.url).href),
  },
  {
    name: 'upload-elsewhere',
    on: ['upload'],
    harmless: false,
    bend: (a, { elsewhere }) => (a.status === 202 ? withLocation(a, (to) => elsewhere(to).href) : a),
  },
  { name: 'upload-nowhere', on: ['upload'], harmless: false, bend: (answer) => withoutLocation(answer) },
  { name: 'upload-503-once', on: ['upload'], times: 1, harmless: true, bend: status(503) },
  { name: 'upload-resets-once', on: ['upload'], times: 1, harmless: true, breaks: 'reset' },
  { name: 'upload-403', on: ['upload'], harmless: false, bend: () => refuse(403, 'DENIED') },
  {
    name: 'upload-413',
    on: ['upload'],
    harmless: false,
    bend: (a, { request }) => (request.method === 'PUT' ? answerWith(413) : a),
  },
  { name: 'tag-503-once', on: ['tag'], times: 1, harmless: true, bend: status(503) },
  { name: 'tag-403', on: ['tag'], harmless: false, bend: () => refuse(403, 'DENIED') },
  {
    name: 'tag-other-digest',
    on: ['tag'],
    harmless: false,
    bend: (a) => ({ ...a, headers: { ...a.headers, 'docker-content-digest': `sha256:${'0'.repeat(64)}` } }),
  },
  { name: 'push-429-once', on: pushes, times: 1, harmless: true, bend: status(429, { 'retry-after': '0' }) },
];

function withLocation(answer: Answer, change: (to: string) => string): Answer {
  const { location: to } = answer.headers;
  return typeof to === 'string' ? { ...answer, headers: { ...answer.headers, location: change(to) } } : answer;
}

function withoutLocation(answer: Answer): Answer {
  const { location: _told, ...headers } = answer.headers;
  return { ...answer, headers };
}

/** The whole table. Names are unique, since results and replays refer to them. */
export const faults: readonly Fault[] = [
  ...rangeFaults,
  ...statusFaults,
  ...redirectFaults,
  ...bodyFaults,
  ...tokenFaults,
  ...pushFaults,
];

/** The fault with this name; throws if the table has none. */
export function fault(name: string, change: Partial<Fault> = {}): Fault {
  const found = faults.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no fault is named ${name}`);
  return { ...found, ...change };
}
