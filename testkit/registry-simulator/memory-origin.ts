import { hash, randomUUID } from 'node:crypto';
import { type Answer, answerWith, readAll, type SimulatedRequest } from './exchange.ts';
import { listReferrers, subjectOf } from './referrers.ts';

/** A registry that responds correctly; faults are applied to its responses. */
export interface Origin {
  answer(request: SimulatedRequest): Promise<Answer>;
  close(): void;
}

export interface MemoryOrigin extends Origin {
  /** By digest, in every repository. */
  readonly blobs: Map<string, Buffer>;
  /** By `repository:tag` and `repository:digest`. */
  readonly manifests: Map<string, { readonly mediaType: string; readonly bytes: Buffer }>;
}

export interface MemoryContent {
  readonly blobs?: Iterable<Buffer>;
  readonly manifests?: Iterable<{
    readonly repository: string;
    readonly tag: string;
    readonly mediaType: string;
    readonly bytes: Buffer;
  }>;
  /** Whether it has the API of referrers, and deletes manifests; the oldest registries do neither. */
  readonly hasReferrers?: boolean;
}

/** A registry in memory (OCI distribution-spec): blobs by range, uploads, mounts, manifests. */
export function memoryOrigin(content: MemoryContent = {}): MemoryOrigin {
  const blobs = new Map<string, Buffer>();
  const manifests: MemoryOrigin['manifests'] = new Map();
  const uploads = new Set<string>();
  for (const bytes of content.blobs ?? []) blobs.set(digestOf(bytes), bytes);
  for (const { repository, tag, mediaType, bytes } of content.manifests ?? []) {
    manifests.set(`${repository}:${tag}`, { mediaType, bytes });
    manifests.set(`${repository}:${digestOf(bytes)}`, { mediaType, bytes });
  }

  return {
    blobs,
    manifests,
    close: () => {},
    async answer(request) {
      const { method, kind, repository, name, url } = request;
      switch (kind) {
        case 'ping':
          return answerWith(200, '{}');
        case 'blob':
          return answerBlob(request, blobs.get(name!));
        case 'look': {
          const manifest = manifests.get(`${repository}:${name}`);
          const found = url.pathname.includes('/blobs/') ? blobs.get(name!) : manifest?.bytes;
          if (found === undefined) return answerWith(404);
          const headers = { 'content-length': found.length, 'docker-content-digest': digestOf(found) };
          return {
            status: 200,
            headers: { 'content-type': manifest?.mediaType ?? 'application/octet-stream', ...headers },
          };
        }
        case 'manifest': {
          const found = manifests.get(`${repository}:${name}`);
          if (found === undefined) return refuse(404, 'MANIFEST_UNKNOWN');
          const digest = digestOf(found.bytes);
          return answerWith(200, found.bytes, { 'content-type': found.mediaType, 'docker-content-digest': digest });
        }
        case 'tag': {
          const bytes = await readAll(request.body);
          const digest = digestOf(bytes);
          const mediaType = request.headers['content-type'] ?? '';
          if (name!.startsWith('sha256:') && name !== digest) return refuse(400, 'DIGEST_INVALID');
          manifests.set(`${repository}:${name}`, { mediaType, bytes });
          manifests.set(`${repository}:${digest}`, { mediaType, bytes });
          const subject = content.hasReferrers === true ? subjectOf(bytes) : undefined;
          const listed = subject === undefined ? {} : { 'oci-subject': subject };
          return answerWith(201, '', { location: url.pathname, 'docker-content-digest': digest, ...listed });
        }
        case 'referrers':
          return content.hasReferrers === true
            ? listReferrers(manifests, request)
            : answerWith(404, '404 page not found');
        case 'delete':
          if (content.hasReferrers !== true) return refuse(405, 'UNSUPPORTED');
          return answerWith(manifests.delete(`${repository}:${name}`) ? 202 : 404);
        case 'mount':
        case 'upload':
          return await answerUpload(request, method, blobs, uploads);
        default:
          return answerWith(404);
      }
    },
  };
}

async function answerUpload(
  { kind, repository, name, url, body }: SimulatedRequest,
  method: string,
  blobs: Map<string, Buffer>,
  uploads: Set<string>,
): Promise<Answer> {
  if (method === 'POST') {
    await readAll(body);
    const mounted = url.searchParams.get('mount') ?? '';
    if (kind === 'mount' && blobs.has(mounted)) return answerWith(201, '', { 'docker-content-digest': mounted });
    const upload = randomUUID();
    uploads.add(upload);
    return answerWith(202, '', { location: `/v2/${repository}/blobs/uploads/${upload}?state=open` });
  }
  const bytes = await readAll(body);
  if (!uploads.delete(name!)) return refuse(404, 'BLOB_UPLOAD_UNKNOWN');
  if (method !== 'PUT') return answerWith(204);
  const digest = url.searchParams.get('digest') ?? '';
  if (digest !== digestOf(bytes)) return refuse(400, 'DIGEST_INVALID');
  blobs.set(digest, bytes);
  return answerWith(201, '', { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest });
}

function answerBlob({ headers, method }: SimulatedRequest, blob: Buffer | undefined): Answer {
  if (blob === undefined) return refuse(404, 'BLOB_UNKNOWN');
  const common = { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes' };
  if (method === 'HEAD') return { status: 200, headers: { ...common, 'content-length': blob.length } };
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(headers.range ?? '') ?? [];
  if (first === '' && last === '') return answerWith(200, blob, common);
  const start = first === '' ? Math.max(0, blob.length - Number(last)) : Number(first);
  const end = first === '' || last === '' ? blob.length : Math.min(Number(last) + 1, blob.length);
  if (start >= end) return answerWith(416, '', { 'content-range': `bytes */${blob.length}` });
  const contentRange = { 'content-range': `bytes ${start}-${end - 1}/${blob.length}` };
  return answerWith(206, blob.subarray(start, end), { ...common, ...contentRange });
}

export function refuse(status: number, code: string): Answer {
  return answerWith(status, JSON.stringify({ errors: [{ code, message: 'simulated' }] }));
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${hash('sha256', bytes, 'hex')}`;
}
