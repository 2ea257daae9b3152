import { gzipSync } from 'node:zlib';
import { type Answer, answerWith } from './exchange.ts';
import {
  type Bend,
  type Fault,
  isSuffix,
  location,
  onBytes,
  onSuccess,
  onSuffix,
  status,
  withoutRange,
} from './fault.ts';
import { refuse } from './memory-origin.ts';
import { asMultipart, partOf, relabelled, shortened, withExtraBytes, withoutLength } from './range-forms.ts';

const reads = ['manifest', 'blob'] as const;

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

function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = copy.length >> 1; at < copy.length; at += 4096) copy[at] = copy[at]! ^ 0xff;
  return copy;
}

/** Faults of manifests and blobs. */
export const readFaults: readonly Fault[] = [...rangeFaults, ...statusFaults, ...redirectFaults, ...bodyFaults];
