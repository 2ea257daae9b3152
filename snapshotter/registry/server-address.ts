import { isIP } from 'node:net';
import { RegistryError } from './error.ts';
import { parseReference } from './reference.ts';

export type Scheme = 'http' | 'https';

/** A server as it stands in a configuration. */
export interface ServerAddress {
  /** Absent where only a host was written. */
  readonly scheme: Scheme | undefined;
  /** Host and port as they stand in a URL. */
  readonly authority: string;
  /** `/proxy`, without a slash at its end; '' for none. */
  readonly path: string;
}

/**
 * Reads `mirror.local:5000`, `mirror.local/proxy` or `https://mirror.local/v2/`. Throws RegistryError `invalid-host` if no
 * request could be sent to the address as written.
 */
export function parseServerAddress(text: string): ServerAddress {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const whole = hasScheme ? text : `https://${text}`;
  if (/[\s\\]/.test(text) || /^[^/]*:(\/(?!\/)|$)/.test(text) || !URL.canParse(whole))
    throw invalid(text, 'it is not a host, with or without a path');
  const url = new URL(whole);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw invalid(text, `registries are not reached by ${url.protocol.slice(0, -1)}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid(text, 'it holds credentials, which belong in a keychain (docker login, imagePullSecrets)');
  }
  if (url.search !== '' || url.hash !== '' || /[?#]/.test(text)) throw invalid(text, 'it has a query or a fragment');
  const path = url.pathname.replace(/\/{2,}/g, '/').replace(/\/$/, '');
  if (hasScheme) return { scheme: url.protocol.slice(0, -1) as Scheme, authority: url.host, path };
  // From the text: URL drops the default port of its scheme, and the scheme is not known yet.
  return { scheme: undefined, authority: text.split('/')[0]!.toLowerCase(), path };
}

const dockerHubNames = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/**
 * The registry that a configuration table applies to, by its name in references (`docker.io`). Throws RegistryError
 * `invalid-host` for a name that no reference can have, since that table would never be used.
 */
export function parseRegistryName(text: string): string {
  if (dockerHubNames.has(text)) return 'docker.io';
  try {
    if (parseReference(`${text}/repository`).registry === text) return text;
  } catch {
    // Reported below, with the text as written.
  }
  throw invalid(
    text,
    'it is not the registry of any image reference',
    'write it as in image references: docker.io, registry:5000',
  );
}

/** Docker Hub's API has another host than its name in references. */
export function authorityOf(name: string): string {
  return dockerHubNames.has(name) ? 'registry-1.docker.io' : name;
}

export function isLoopback(authority: string): boolean {
  const host = hostnameOf(authority);
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

/** `[::1]:5000` -> `::1`, `localhost:5000` -> `localhost`. */
export function hostnameOf(authority: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(authority);
  return bracketed?.[1] ?? authority.replace(/:\d+$/, '');
}

function invalid(
  text: string,
  detail: string,
  remedy = 'write it as host:port or https://host:port/path',
): RegistryError {
  const operation = `read the server address ${JSON.stringify(text.slice(0, 200))}`;
  return new RegistryError('invalid-host', detail, { operation, remedy });
}
