import { hash } from 'node:crypto';
import { type Answer, answerWith, type SimulatedRequest } from './exchange.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';
const pageLength = 2;

interface Manifest {
  readonly subject?: { readonly digest?: string };
  readonly artifactType?: string;
  readonly config?: { readonly mediaType?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The digest of the manifest that this one refers to. */
export function subjectOf(bytes: Buffer): string | undefined {
  return (JSON.parse(bytes.toString()) as Manifest).subject?.digest;
}

/** `GET /v2/<name>/referrers/<digest>` (OCI distribution-spec 1.1, "Listing Referrers"), filtered, in small pages. */
export function listReferrers(
  manifests: ReadonlyMap<string, { readonly mediaType: string; readonly bytes: Buffer }>,
  { repository, name: subject, url }: SimulatedRequest,
): Answer {
  const wanted = url.searchParams.get('artifactType');
  const found = [...manifests].flatMap(([key, { mediaType, bytes }]) => {
    const digest = `sha256:${hash('sha256', bytes, 'hex')}`;
    if (key !== `${repository}:${digest}` || subjectOf(bytes) !== subject) return [];
    const { artifactType: own, config, annotations } = JSON.parse(bytes.toString()) as Manifest;
    const artifactType = own ?? config?.mediaType;
    if (wanted !== null && wanted !== artifactType) return [];
    return [{ mediaType, digest, size: bytes.length, artifactType, annotations }];
  });
  const start = Number(url.searchParams.get('start') ?? 0);
  const next = new URL(url);
  next.searchParams.set('start', String(start + pageLength));
  const link = start + pageLength < found.length ? { link: `<${next.pathname}${next.search}>; rel="next"` } : {};
  const index = { schemaVersion: 2, mediaType: indexType, manifests: found.slice(start, start + pageLength) };
  return answerWith(200, JSON.stringify(index), {
    'content-type': indexType,
    ...(wanted === null ? {} : { 'oci-filters-applied': 'artifactType' }),
    ...link,
  });
}
