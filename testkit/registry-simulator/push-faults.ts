import { type Answer, answerWith } from './exchange.ts';
import { type Fault, status } from './fault.ts';
import { refuse } from './memory-origin.ts';

const pushes = ['look', 'mount', 'upload', 'tag'] as const;

/** Responses to pushes. HEADs and mounts only save work, so refusing them is harmless. */
export const pushFaults: readonly Fault[] = [
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
