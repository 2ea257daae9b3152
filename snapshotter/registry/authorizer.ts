import { untilAborted } from '../platform/abort.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { ResponseHeaders } from './connections.ts';
import { RegistryError } from './error.ts';
import type { Endpoint } from './host.ts';
import type { Credential, Keychain } from './keychain.ts';
import type { Reference } from './reference.ts';
import { type Authorization, basicHeader, fetchToken, readTokenService, type TokenService } from './token.ts';
import type { Transport } from './transport.ts';

/** What a request wants to be allowed to do, and where. */
export interface Access {
  readonly endpoint: Endpoint;
  readonly reference: Reference;
  /** `repository:library/python:pull`, … */
  readonly scopes: readonly string[];
}

type Method = { readonly kind: 'bearer'; readonly service: TokenService } | { readonly kind: 'basic' };

interface Entry {
  authorization: Authorization;
  renewing: boolean;
}

/** Renewed in the background for the last fifth of its life, at most this long before its end. */
const longestRenewalLeadMs = 30_000;
/** A shared lookup belongs to no caller, so it has a limit of its own. */
const acquisitionLimitMs = 60_000;
const mostEntries = 4096;

/**
 * Knows, per host and scope, which Authorization to send. A host that never asked gets none; once it has asked, later
 * requests bring a token along without being asked. Concurrent callers share one acquisition.
 */
export class Authorizer {
  readonly #transport: Transport;
  readonly #keychain: Keychain;
  readonly #methods = new Map<string, Method>();
  readonly #entries = new Map<string, Entry>();
  readonly #pending = new Map<string, Promise<Authorization | undefined>>();
  readonly #closing = new AbortController();

  constructor(transport: Transport, keychain: Keychain) {
    this.#transport = transport;
    this.#keychain = keychain;
  }

  /** The header to send; undefined while the host has not asked for one, or has and none can be had. */
  authorize(access: Access, signal: AbortSignal): Promise<string | undefined> | string | undefined {
    const method = this.#methods.get(access.endpoint.authority);
    if (method === undefined) return undefined;
    const key = keyOf(access);
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#acquire(key, access, method, new Set(), signal);
    const leftMs = entry.authorization.expiresAtMs - this.#transport.clock.now();
    if (leftMs <= 0) {
      this.#entries.delete(key);
      return this.#acquire(key, access, method, new Set(), signal);
    }
    if (leftMs < renewalLeadMs(entry.authorization)) this.#renew(key, entry, access, method);
    return entry.authorization.header;
  }

  /**
   * After a 401: another header to try, or undefined when there is none. `refused` holds the headers this request has
   * tried; a token among them is thrown away, unless somebody else has already replaced it.
   */
  async answer(
    access: Access,
    headers: ResponseHeaders,
    refused: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const challenges = parseChallenges(headers['www-authenticate'] as string | string[] | undefined);
    const method = chooseMethod(challenges);
    if (method === undefined) return undefined;
    this.#methods.set(access.endpoint.authority, method);

    const key = keyOf(access);
    const entry = this.#entries.get(key);
    if (entry !== undefined && !refused.has(entry.authorization.header)) return entry.authorization.header;
    this.#entries.delete(key);
    return await this.#acquire(key, withScopeOf(access, challenges), method, refused, signal);
  }

  close(): void {
    this.#closing.abort(new DOMException('the registry client was closed', 'AbortError'));
  }

  async #acquire(
    key: string,
    access: Access,
    method: Method,
    refused: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      const timeout = AbortSignal.timeout(acquisitionLimitMs);
      const limit = AbortSignal.any([timeout, this.#closing.signal]);
      pending = this.#obtain(access, method, refused, limit)
        .then((authorization) => {
          if (authorization !== undefined) this.#keep(key, authorization);
          return authorization;
        })
        .catch((error) => {
          if (!timeout.aborted) throw error;
          const operation = `get credentials for ${access.endpoint.name}`;
          throw new RegistryError('timeout', `none within ${acquisitionLimitMs / 1000} s`, { operation });
        })
        .finally(() => this.#pending.delete(key));
      this.#pending.set(key, pending);
    }
    return (await untilAborted(pending, signal))?.header;
  }

  /** Every credential in turn, then none; the first that is accepted. */
  async #obtain(
    access: Access,
    method: Method,
    refused: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<Authorization | undefined> {
    const { endpoint, reference, scopes } = access;
    const credentials = await this.#keychain.lookup(reference, endpoint.name, signal);
    let refusal: RegistryError | undefined;
    for (const credential of credentials) {
      const ready = readyHeader(credential, method);
      if (ready !== undefined) {
        if (!refused.has(ready)) return { header: ready, issuedAtMs: 0, expiresAtMs: Number.POSITIVE_INFINITY };
        continue;
      }
      if (method.kind === 'basic') continue;
      try {
        return await fetchToken(this.#transport, endpoint, method.service, scopes, credential, signal);
      } catch (error) {
        if (!(error instanceof RegistryError) || error.code !== 'unauthorized') throw error;
        refusal ??= error;
      }
    }
    if (method.kind === 'basic') return undefined;
    try {
      return await fetchToken(this.#transport, endpoint, method.service, scopes, undefined, signal);
    } catch (error) {
      throw refusal ?? error;
    }
  }

  /** The old token still serves: nobody waits, and a failure shows when the token has really expired. */
  #renew(key: string, entry: Entry, access: Access, method: Method): void {
    if (entry.renewing) return;
    entry.renewing = true;
    this.#acquire(key, access, method, new Set(), this.#closing.signal).catch(() => {
      entry.renewing = false;
    });
  }

  #keep(key: string, authorization: Authorization): void {
    if (this.#entries.size >= mostEntries) {
      const oldest = this.#entries.keys().next();
      if (oldest.done !== true) this.#entries.delete(oldest.value);
    }
    this.#entries.set(key, { authorization, renewing: false });
  }
}

function keyOf(access: Access): string {
  return `${access.endpoint.authority} ${access.scopes.join(' ')}`;
}

function renewalLeadMs(authorization: Authorization): number {
  return Math.min(longestRenewalLeadMs, (authorization.expiresAtMs - authorization.issuedAtMs) / 5);
}

/** Bearer before Basic: a token is worth less to a thief than a password. */
function chooseMethod(challenges: readonly Challenge[]): Method | undefined {
  for (const challenge of challenges) {
    const service = challenge.scheme === 'bearer' ? readTokenService(challenge) : undefined;
    if (service !== undefined) return { kind: 'bearer', service };
  }
  return challenges.some((challenge) => challenge.scheme === 'basic') ? { kind: 'basic' } : undefined;
}

/** Some registries want a scope of their own making: it is asked for along with ours. */
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

/** What needs no token service: a password for Basic, a ready token for Bearer. */
function readyHeader(credential: Credential, method: Method): string | undefined {
  if (credential.kind === 'registry-token') return `Bearer ${credential.token}`;
  if (credential.kind === 'basic' && method.kind === 'basic') return basicHeader(credential);
  return undefined;
}
