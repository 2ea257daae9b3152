import type { Challenge } from './challenge.ts';
import type { HttpRequest, HttpResponse } from './connections.ts';
import { RegistryError } from './error.ts';
import type { Endpoint } from './host.ts';
import type { Credential } from './keychain.ts';
import { followRedirects, isSameParty } from './redirect.ts';
import { isLoopback } from './server-address.ts';
import { statusError, type Transport } from './transport.ts';

/** A value for the Authorization header and its lifetime. */
export interface Authorization {
  readonly header: string;
  readonly issuedAtMs: number;
  /** Infinity where nothing expires. */
  readonly expiresAtMs: number;
}

export interface TokenService {
  readonly realm: URL;
  readonly service: string | undefined;
}

/** The token service a Bearer challenge names; undefined when it names none that can be asked. */
export function readTokenService(challenge: Challenge): TokenService | undefined {
  const realm = challenge.parameters.get('realm');
  if (realm === undefined || !URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  return { realm: url, service: challenge.parameters.get('service') };
}

const clientId = 'stargz-bench';
/** The token specification's default where the answer names no lifetime. */
const defaultLifetimeSec = 60;
const responseLimitBytes = 1024 * 1024;

/**
 * One token from a token service: GET with Basic or nothing (Docker's "Token Authentication Specification"), or an
 * OAuth2 POST for identity tokens. Redirects are followed, by the credential only where they stay with the same party.
 * Throws RegistryError `unauthorized` when the credential is refused.
 */
export async function fetchToken(
  transport: Transport,
  endpoint: Endpoint,
  service: TokenService,
  scopes: readonly string[],
  credential: Credential | undefined,
  signal: AbortSignal,
): Promise<Authorization> {
  const operation = `get a token for ${scopes.join(' ')}`;
  if (credential !== undefined) refuseDowngrade(endpoint, service, operation);
  const base = { trust: endpoint.trust, timeoutMs: endpoint.requestTimeoutMs, operation };
  const request: HttpRequest =
    credential?.kind === 'identity-token'
      ? { ...base, ...refreshRequest(service, scopes, credential.token) }
      : { ...base, ...plainRequest(service, scopes, credential) };

  const nowMs = transport.clock.now();
  const send = async (): Promise<HttpResponse> => {
    let current = request;
    const first = await transport.send(current, { kind: 'token', signal });
    return await followRedirects(first, operation, (url) => {
      current = redirected(current, url);
      return transport.send(current, { kind: 'token', signal });
    });
  };
  const { response, bytes } = await transport.readWhole(send, responseLimitBytes, signal);
  if (response.status !== 200) {
    if (response.status >= 500 || response.status === 429) throw await statusError(response, operation, nowMs);
    // Token services refuse with 400, 401, 403 or 404.
    throw new RegistryError('unauthorized', `the token service refused with HTTP ${response.status}`, {
      operation,
      host: service.realm.host,
      status: response.status,
    });
  }
  return readToken(bytes, nowMs, operation, service.realm.host);
}

/** A registry reached by TLS must not direct credentials to a token service in plain HTTP. */
function refuseDowngrade(endpoint: Endpoint, service: TokenService, operation: string): void {
  const isClear = service.realm.protocol === 'http:' && !isLoopback(service.realm.host);
  if (!isClear || endpoint.trust === 'unverified' || endpoint.schemes.includes('http')) return;
  throw new RegistryError('unauthorized', 'its token service is plain HTTP, credentials are not sent there', {
    operation,
    host: service.realm.host,
    remedy: 'mark the registry insecure if that is meant',
  });
}

function plainRequest(
  service: TokenService,
  scopes: readonly string[],
  credential: Credential | undefined,
): Pick<HttpRequest, 'method' | 'url' | 'headers'> {
  const url = new URL(service.realm);
  if (service.service !== undefined) url.searchParams.set('service', service.service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  const headers: Record<string, string> = { accept: 'application/json' };
  if (credential?.kind === 'basic') {
    url.searchParams.set('account', credential.username);
    headers.authorization = basicHeader(credential);
  }
  return { method: 'GET', url, headers };
}

function refreshRequest(
  service: TokenService,
  scopes: readonly string[],
  refreshToken: string,
): Pick<HttpRequest, 'method' | 'url' | 'headers' | 'body'> {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
    service: service.service ?? service.realm.host,
    client_id: clientId,
    scope: scopes.join(' '),
  });
  const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' };
  return { method: 'POST', url: service.realm, headers, body: form.toString() };
}

/** The redirected request, without the credential if the target is another party. */
function redirected(request: HttpRequest, url: URL): HttpRequest {
  if (isSameParty(request.url, url)) return { ...request, url };
  // The form of the POST contains the identity token, so it cannot be sent without it.
  if (request.body !== undefined) {
    throw new RegistryError('unauthorized', `it redirects to ${url.host}, where the identity token is not sent`, {
      operation: request.operation,
      host: request.url.host,
      remedy: 'log in at the host that issues tokens',
    });
  }
  const { authorization: _withheld, ...headers } = request.headers;
  return { ...request, url, headers };
}

export function basicHeader(credential: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`;
}

function readToken(body: Buffer | undefined, nowMs: number, operation: string, host: string): Authorization {
  // No cause: the parser's message would quote the response, which is a secret.
  const malformed = new RegistryError('protocol', 'the token service did not answer with a token', { operation, host });
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown };
  try {
    answer = JSON.parse(body?.toString() ?? 'null') ?? {};
  } catch {
    throw malformed;
  }
  // Services use either name, and may send the other one empty or null.
  const token = [answer.token, answer.access_token].find((one) => typeof one === 'string' && one !== '');
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw malformed;
  // By our own clock: the service's `issued_at` may be minutes off.
  const lifetimeSec = Number(answer.expires_in ?? defaultLifetimeSec);
  const lifetimeMs = (lifetimeSec > 0 ? lifetimeSec : defaultLifetimeSec) * 1000;
  return { header: `Bearer ${token}`, issuedAtMs: nowMs, expiresAtMs: nowMs + lifetimeMs };
}
