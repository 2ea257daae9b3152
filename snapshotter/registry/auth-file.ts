import { RegistryError } from './error.ts';
import type { Credential } from './keychain.ts';

/** One entry of an `auths` table: the images it applies to, and its credential. */
export interface AuthEntry {
  /** Host with port, in which `*` may stand for one label or a part of one. */
  readonly host: string;
  /** Leading components of the repository, '' for all of the host. */
  readonly path: string;
  readonly credential: Credential;
}

/** The key under which Docker files credentials of docker.io. */
export const dockerHubKey = 'https://index.docker.io/v1/';

const dockerHubNames = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** Reads the `auths` table of a config.json or a kubernetes.io/dockerconfigjson; entries without a secret are left out. */
export function readAuths(auths: unknown, source: string): AuthEntry[] {
  if (auths === undefined || auths === null) return [];
  if (typeof auths !== 'object' || Array.isArray(auths)) throw malformed(source, '`auths` is not an object');
  return Object.entries(auths).flatMap(([key, value]) => {
    const credential = readAuth(value);
    return credential === undefined ? [] : [{ ...readAuthKey(key), credential }];
  });
}

/** Parses JSON. The parser's own error is dropped, since it may quote the secret. */
export function parseSecretJson(text: string, source: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed(source, 'it is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed(source, 'it is not an object');
  return value as Record<string, unknown>;
}

/** The entries for an image, longest repository prefix first; docker.io goes by all of its names. */
export function matchAuths(entries: readonly AuthEntry[], host: string, repository: string): AuthEntry[] {
  const wanted = normalHost(host);
  return entries
    .filter((entry) => matchesHost(normalHost(entry.host), wanted) && isPrefix(entry.path, repository))
    .sort((one, other) => other.path.length - one.path.length);
}

/** Whether two host names mean the same registry; Docker Hub has several. */
export function isSameRegistry(one: string, other: string): boolean {
  return normalHost(one) === normalHost(other);
}

/** `https://index.docker.io/v1/`, `ghcr.io/team`, `*.azurecr.io`: the host and the repository prefix of a key. */
export function readAuthKey(key: string): { host: string; path: string } {
  const bare = key.trim().replace(/^https?:\/\//i, '');
  const slash = bare.indexOf('/');
  const host = slash < 0 ? bare : bare.slice(0, slash);
  const path = (slash < 0 ? '' : bare.slice(slash + 1)).replace(/\/+$/, '');
  // /v1/ and /v2/ name the API, not a repository.
  return { host, path: path.replace(/^v[12](?:\/|$)/, '') };
}

/** `auth` is base64 of user:password; `username` and `password` may stand beside it or alone. */
function readAuth(value: unknown): Credential | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const auth = value as Record<string, unknown>;
  const text = (name: string): string => (typeof auth[name] === 'string' ? auth[name] : '');
  if (text('identitytoken') !== '') return { kind: 'identity-token', token: text('identitytoken') };
  if (text('registrytoken') !== '') return { kind: 'registry-token', token: text('registrytoken') };
  if (text('username') !== '') return { kind: 'basic', username: text('username'), password: text('password') };
  return decodeBasic(text('auth'));
}

/** base64 of `user:password`; undefined for anything else. Docker ends some passwords with NUL bytes. */
export function decodeBasic(encoded: string): Credential | undefined {
  const plain = Buffer.from(encoded, 'base64').toString();
  const colon = plain.indexOf(':');
  if (colon <= 0) return undefined;
  return { kind: 'basic', username: plain.slice(0, colon), password: plain.slice(colon + 1).replace(/\0+$/, '') };
}

function normalHost(host: string): string {
  const lower = host.toLowerCase();
  if (dockerHubNames.has(lower)) return 'docker.io';
  return lower.replace(/:443$/, '');
}

/** `*` matches within one label, and ports must be equal (the kubelet's credential matching). */
function matchesHost(pattern: string, host: string): boolean {
  if (!pattern.includes('*')) return pattern === host;
  const labels = pattern.split(/([.:])/);
  const wanted = host.split(/([.:])/);
  return labels.length === wanted.length && labels.every((label, at) => matchesLabel(label, wanted[at]!));
}

/** A `*` stands for any text. Quadratic at most: as a regular expression, a key of many stars takes exponential time. */
function matchesLabel(pattern: string, label: string): boolean {
  let at = 0;
  let inPattern = 0;
  let star = -1;
  let starAt = 0;
  while (at < label.length) {
    if (pattern[inPattern] === '*') {
      star = inPattern++;
      starAt = at;
    } else if (pattern[inPattern] === label[at]) {
      inPattern++;
      at++;
    } else if (star >= 0) {
      inPattern = star + 1;
      at = ++starAt;
    } else return false;
  }
  while (pattern[inPattern] === '*') inPattern++;
  return inPattern === pattern.length;
}

function isPrefix(path: string, repository: string): boolean {
  return path === '' || repository === path || repository.startsWith(`${path}/`);
}

function malformed(source: string, detail: string): RegistryError {
  return new RegistryError('keychain', detail, { operation: `read credentials of ${source}` });
}
