import { hash } from 'node:crypto';
import { untilAborted } from '../platform/abort.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { ResponseHeaders } from './connections.ts';
import { RegistryError } from './error.ts';
import type { Endpoint } from './host.ts';
import type { Credential, Keychain } from './keychain.ts';
import type { Reference } from './reference.ts';
import { type Authorization, basicHeader, fetchToken, readTokenService, type TokenService } from './token.ts';
import type { Transport } from './transport.ts';

/** The server a request goes to and the scopes it needs. */
export interface Access {
  readonly endpoint: Endpoint;
  readonly reference: Reference;
  /** `repository:library/python:pull`, … */
  readonly scopes: readonly string[];
}

type Method = { readonly kind: 'bearer'; readonly service: TokenService } | { readonly kind: 'basic' };

/** An Authorization, the credential it came from, and its place in the order of acquisition. */
export interface Issued extends Authorization {
  /** A digest of the credential. */
  readonly source: string;
  readonly serial: number;
}

/** The Authorizations that one request was refused with so far, over all its rounds. */
export interface Attempt {
  readonly startSerial: number;
  readonly refusedHeaders: Set<string>;
  /** By source: how often an Authorization acquired during this request was refused. */
  readonly refusals: Map<string, number>;
}

interface Entry {
  issued: Issued;
  renewing: boolean;
}

/** Tokens are renewed in the background during the last fifth of their lifetime, but at most this long before expiry. */
const maxRenewalLeadMs = 30_000;
/** A shared acquisition belongs to no single caller, so it has its own limit. */
const acquisitionLimitMs = 60_000;
const maxEntries = 4096;
/** A fresh token may be refused because it was revoked meanwhile: each credential is tried twice. */
const maxRefusals = 2;
const anonymous = 'anonymous';

/**
 * Knows which Authorization to send, per host and scope. A host that never sent a challenge gets none; after its first
 * challenge, requests carry a token from the start. Concurrent callers share one acquisition.
 */
export class Authorizer {
  readonly #transport: Transport;
  readonly #keychain: Keychain;
  readonly #methods = new Map<string, Method>();
  readonly #entries = new Map<string, Entry>();
  /** By entry: the credential of the last token, which is tried first when the token is renewed. */
  readonly #sources = new Map<string, string>();
  readonly #pending = new Map<string, Promise<Issued | undefined>>();
  readonly #closing = new AbortController();
  #serial = 0;

  constructor(transport: Transport, keychain: Keychain) {
    this.#transport = transport;
    this.#keychain = keychain;
  }

  /** Call once per request, before its first round. */
  begin(): Attempt {
    return { startSerial: this.#serial, refusedHeaders: new Set(), refusals: new Map() };
  }

  /** The Authorization to send; undefined if the host has sent no challenge yet, or if no credential is accepted. */
  authorize(access: Access, signal: AbortSignal): Promise<Issued | undefined> | Issued | undefined {
    const method = this.#methods.get(access.endpoint.id);
    if (method === undefined) return undefined;
    const key = keyOf(access);
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#acquire(key, access, method, undefined, signal);
    const leftMs = entry.issued.expiresAtMs - this.#transport.clock.now();
    if (leftMs <= 0) {
      this.#entries.delete(key);
      return this.#acquire(key, access, method, undefined, signal);
    }
    if (leftMs < renewalLeadMs(entry.issued)) this.#renew(key, entry, access, method);
    return entry.issued;
  }

  /**
   * After a 401, or a 403 to an authorized request: the next Authorization to try, or undefined when there is none left.
   * The refused token is dropped unless another request has replaced it already.
   */
  async answer(
    access: Access,
    response: { readonly status: number; readonly headers: ResponseHeaders },
    sent: Issued | undefined,
    attempt: Attempt,
    signal: AbortSignal,
  ): Promise<Issued | undefined> {
    if (sent !== undefined) noteRefusal(attempt, sent, response.status);
    const challenges = parseChallenges(response.headers['www-authenticate'] as string | string[] | undefined);
    const { id } = access.endpoint;
    const method = chooseMethod(challenges) ?? (sent === undefined ? undefined : this.#methods.get(id));
    if (method === undefined) return undefined;
    this.#methods.set(id, method);

    const key = keyOf(access);
    const entry = this.#entries.get(key);
    if (entry !== undefined && !attempt.refusedHeaders.has(entry.issued.header)) return entry.issued;
    this.#entries.delete(key);
    return await this.#acquire(key, withScopeOf(access, challenges), method, attempt, signal);
  }

  close(): void {
    this.#closing.abort(new DOMException('the registry client was closed', 'AbortError'));
  }

  async #acquire(
    key: string,
    access: Access,
    method: Method,
    attempt: Attempt | undefined,
    signal: AbortSignal,
  ): Promise<Issued | undefined> {
    // Requests that were refused the same credentials share one acquisition.
    const sharingKey = [key, ...[...(attempt?.refusals ?? [])].map(([source, count]) => `${source}*${count}`)].join(
      ' ',
    );
    let pending = this.#pending.get(sharingKey);
    if (pending === undefined) {
      const timeout = AbortSignal.timeout(acquisitionLimitMs);
      const limit = AbortSignal.any([timeout, this.#closing.signal]);
      pending = this.#obtain(key, access, method, attempt, limit)
        .then((issued) => {
          if (issued !== undefined) this.#keep(key, issued);
          return issued;
        })
        .catch((error) => {
          if (!timeout.aborted) throw error;
          const operation = `get credentials for ${access.endpoint.name}`;
          throw new RegistryError('timeout', `none within ${acquisitionLimitMs / 1000} s`, { operation });
        })
        .finally(() => this.#pending.delete(sharingKey));
      this.#pending.set(sharingKey, pending);
    }
    return await untilAborted(pending, signal);
  }

  /** Tries every credential in turn, then none. Throws the first refusal if nothing is accepted. */
  async #obtain(
    key: string,
    access: Access,
    method: Method,
    attempt: Attempt | undefined,
    signal: AbortSignal,
  ): Promise<Issued | undefined> {
    const { endpoint, reference, scopes } = access;
    const found = await this.#keychain.lookup(reference, endpoint.name, signal);
    let refusal: RegistryError | undefined;
    for (const { credential, source } of this.#inOrder(key, found, attempt)) {
      if (method.kind === 'basic' && credential?.kind !== 'basic' && credential?.kind !== 'registry-token') continue;
      try {
        const authorization =
          readyAuthorization(credential, method) ??
          (method.kind === 'basic'
            ? undefined
            : await fetchToken(this.#transport, endpoint, method.service, scopes, credential, signal));
        // A token service with a cache may issue the token again that was just refused.
        if (authorization === undefined || attempt?.refusedHeaders.has(authorization.header) === true) continue;
        return { ...authorization, source, serial: ++this.#serial };
      } catch (error) {
        if (!(error instanceof RegistryError) || error.code !== 'unauthorized') throw refusal ?? error;
        refusal ??= error;
      }
    }
    if (refusal !== undefined) throw refusal;
    return undefined;
  }

  /** Credentials without a refusal first, and among them the last one that served; then no credential; then those refused once. */
  #inOrder(key: string, found: readonly Credential[], attempt: Attempt | undefined) {
    const last = this.#sources.get(key);
    const refusalsOf = (source: string): number => attempt?.refusals.get(source) ?? 0;
    const named = found.map((credential) => ({ credential, source: sourceOf(credential) }));
    const first = named.filter(({ source }) => source === last);
    const rest = named.filter(({ source }) => source !== last);
    return [...first, ...rest, { credential: undefined, source: anonymous }]
      .filter(({ source }) => refusalsOf(source) < (source === anonymous ? 1 : maxRefusals))
      .sort((one, other) => refusalsOf(one.source) - refusalsOf(other.source));
  }

  /** Nobody waits, since the old token is still valid; a failed renewal is repeated once it has expired. */
  #renew(key: string, entry: Entry, access: Access, method: Method): void {
    if (entry.renewing) return;
    entry.renewing = true;
    this.#acquire(key, access, method, undefined, this.#closing.signal).catch(() => {
      entry.renewing = false;
    });
  }

  #keep(key: string, issued: Issued): void {
    for (const kept of [this.#entries, this.#sources]) {
      const oldest = kept.size >= maxEntries ? kept.keys().next() : undefined;
      if (oldest?.done === false) kept.delete(oldest.value);
    }
    this.#entries.set(key, { issued, renewing: false });
    this.#sources.set(key, issued.source);
  }
}

/** A 403 judges the credential rather than the token, so the credential is not tried again. */
function noteRefusal({ startSerial, refusedHeaders, refusals }: Attempt, sent: Issued, status: number): void {
  refusedHeaders.add(sent.header);
  const count = refusals.get(sent.source) ?? 0;
  if (status === 403) refusals.set(sent.source, maxRefusals);
  else if (sent.serial > startSerial) refusals.set(sent.source, count + 1);
}

function sourceOf(credential: Credential): string {
  return hash('sha256', JSON.stringify(credential), 'base64url');
}

function keyOf(access: Access): string {
  return `${access.endpoint.id} ${access.scopes.join(' ')}`;
}

function renewalLeadMs(authorization: Authorization): number {
  return Math.min(maxRenewalLeadMs, (authorization.expiresAtMs - authorization.issuedAtMs) / 5);
}

/** Bearer before Basic: a stolen token does less harm than a stolen password. */
function chooseMethod(challenges: readonly Challenge[]): Method | undefined {
  for (const challenge of challenges) {
    const service = challenge.scheme === 'bearer' ? readTokenService(challenge) : undefined;
    if (service !== undefined) return { kind: 'bearer', service };
  }
  return challenges.some((challenge) => challenge.scheme === 'basic') ? { kind: 'basic' } : undefined;
}

/** Adds the scopes of the challenge that ours do not cover: some registries define their own. */
function withScopeOf(access: Access, challenges: readonly Challenge[]): Access {
  const asked = challenges
    .filter((challenge) => challenge.scheme === 'bearer')
    .flatMap((challenge) => challenge.parameters.get('scope')?.split(' ') ?? []);
  const missing = asked.filter((scope) => scope !== '' && !access.scopes.some((own) => covers(own, scope)));
  return missing.length === 0 ? access : { ...access, scopes: [...access.scopes, ...missing] };
}

/** `repository:a:pull,push` covers `repository:a:pull`. */
function covers(own: string, other: string): boolean {
  const [ownResource, ownActions] = splitScope(own);
  const [otherResource, otherActions] = splitScope(other);
  return ownResource === otherResource && otherActions.every((action) => ownActions.includes(action));
}

function splitScope(scope: string): [resource: string, actions: string[]] {
  const colon = scope.lastIndexOf(':');
  return [scope.slice(0, colon), scope.slice(colon + 1).split(',')];
}

/** Credentials that need no token service: a password for Basic, a ready token for Bearer. */
function readyAuthorization(credential: Credential | undefined, method: Method): Authorization | undefined {
  const always = { issuedAtMs: 0, expiresAtMs: Number.POSITIVE_INFINITY };
  if (credential?.kind === 'registry-token') return { header: `Bearer ${credential.token}`, ...always };
  if (credential?.kind === 'basic' && method.kind === 'basic') return { header: basicHeader(credential), ...always };
  return undefined;
}
