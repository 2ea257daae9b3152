import { type Digest, isDigest } from './digest.ts';
import { RegistryError } from './error.ts';

/** An image by its full name. Where neither tag nor digest was written, the tag is `latest`. */
export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000`: as in references; the server's name may differ (server-address.ts). */
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

// Grammar: github.com/distribution/reference, "Grammar" of its package comment.
const domainPattern =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?$/;
const repositoryPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const maxRepositoryLength = 255;
const maxReferenceLength = 1024;

/** Reads `python`, `ghcr.io/a/b:1`, `localhost:5000/x@sha256:…`; throws RegistryError `invalid-reference`. */
export function parseReference(text: string): Reference {
  if (text.length > maxReferenceLength) throw invalid(text, `longer than ${maxReferenceLength} characters`);
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, 'the digest is not sha256 and 64 hex digits');

  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !tagPattern.test(tag)) throw invalid(text, 'the tag has characters that tags do not have');

  const { registry, repository } = splitName(colon < 0 ? named : named.slice(0, colon));
  if (!domainPattern.test(registry)) throw invalid(text, 'the registry is not a host name');
  if (repository === '') throw invalid(text, 'the repository is missing');
  if (!repositoryPattern.test(repository))
    throw invalid(text, 'a repository is lower-case letters, digits, . _ - and /');
  if (repository.length > maxRepositoryLength) {
    throw invalid(text, `the repository is longer than ${maxRepositoryLength} characters`);
  }

  return {
    registry,
    repository,
    ...(tag === undefined && digest === undefined ? { tag: 'latest' } : {}),
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The full name; `parseReference` of it returns an equal reference. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

/** The last path segment of a manifest's URL: the digest if there is one, else the tag. */
export function manifestName(reference: Reference): string {
  return reference.digest ?? reference.tag ?? 'latest';
}

/** Docker's rule: the first component is a registry if it looks like a host; otherwise all of it is on docker.io. */
function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  if (!isHost) return { registry: 'docker.io', repository: slash < 0 ? `library/${name}` : name };
  const rest = name.slice(slash + 1);
  if (first !== 'docker.io' && first !== 'index.docker.io') return { registry: first, repository: rest };
  return { registry: 'docker.io', repository: rest === '' || rest.includes('/') ? rest : `library/${rest}` };
}

function invalid(text: string, why: string): RegistryError {
  return new RegistryError('invalid-reference', why, {
    operation: `read image reference ${JSON.stringify(text.slice(0, 200))}`,
    remedy: 'write it as registry/repository:tag',
  });
}
