import { randomBytes } from 'node:crypto';
import { type Answer, answerWith, readAll, type SimulatedRequest } from './exchange.ts';

export type SimulatedAuth =
  | { readonly kind: 'basic'; readonly users: Readonly<Record<string, string>> }
  | {
      readonly kind: 'token';
      readonly users?: Readonly<Record<string, string>>;
      /** Users who get a token that allows nothing. */
      readonly powerless?: readonly string[];
      /** Refresh tokens that an OAuth2 POST may exchange. */
      readonly identityTokens?: readonly string[];
      /** Anonymous clients get a token for pulling. */
      readonly anonymousPull?: boolean;
      /** Status for a token with insufficient scope; default 401. */
      readonly insufficientStatus?: 401 | 403;
      readonly lifetimeMs: number;
    };

interface Grant {
  readonly expiresAtMs: number;
  /** `repository:a/b` -> pull, push */
  readonly actions: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Issues tokens that expire, and checks requests against them. */
export class TokenService {
  /** Requests to /token that were answered with a token. */
  issued = 0;
  readonly #auth: SimulatedAuth;
  readonly #grants = new Map<string, Grant>();

  constructor(auth: SimulatedAuth) {
    this.#auth = auth;
  }

  /** Invalidates all tokens issued so far. */
  revokeAll(): void {
    this.#grants.clear();
  }

  /** The refusal of a request; undefined if it is allowed. */
  refusal(request: SimulatedRequest, realm: string): Answer | undefined {
    const { method, headers, repository = '' } = request;
    const action = method === 'GET' || method === 'HEAD' ? 'pull' : 'push';
    const isAllowed = this.#allows(headers.authorization, repository, action);
    if (isAllowed === 'yes') return undefined;
    const auth = this.#auth;
    if (isAllowed === 'insufficient' && auth.kind === 'token' && auth.insufficientStatus === 403) {
      return answerWith(403, '{"errors":[{"code":"DENIED"}]}');
    }
    const challenge = this.#challenge(realm, repository, action === 'push' ? 'pull,push' : 'pull');
    return answerWith(401, '{"errors":[{"code":"UNAUTHORIZED"}]}', { 'www-authenticate': challenge });
  }

  /** Responds to /token. `onBody` receives the form of a POST. */
  async answer(request: SimulatedRequest, onBody: (body: string) => void): Promise<Answer> {
    const auth = this.#auth;
    if (auth.kind === 'basic') return answerWith(404);
    const body = (await readAll(request.body)).toString();
    const isPost = request.method === 'POST';
    if (isPost) onBody(body);
    const form = new URLSearchParams(body);
    const { authorization } = request.headers;
    const user = isPost ? undefined : userOf(auth.users ?? {}, authorization);
    const isExchange = form.get('grant_type') === 'refresh_token';
    const isKnown =
      user !== undefined ||
      (isPost && isExchange && auth.identityTokens?.includes(form.get('refresh_token') ?? '') === true);
    const isAnonymous = !isPost && authorization === undefined;
    if (!isKnown && !(isAnonymous && auth.anonymousPull === true)) {
      return answerWith(401, '{"details":"wrong password: hunter2"}');
    }
    const scopes = isPost ? (form.get('scope') ?? '').split(' ') : request.url.searchParams.getAll('scope');
    const isPowerless = user !== undefined && auth.powerless?.includes(user) === true;
    const token = this.#issue(isPowerless ? [] : scopes, isKnown, auth.lifetimeMs);
    return answerWith(
      200,
      JSON.stringify({ [isPost ? 'access_token' : 'token']: token, expires_in: auth.lifetimeMs / 1000 }),
      { 'content-type': 'application/json' },
    );
  }

  #issue(scopes: readonly string[], isKnown: boolean, lifetimeMs: number): string {
    const token = randomBytes(24).toString('base64url');
    const actions = new Map(scopes.map((scope) => grantOf(scope, isKnown)));
    this.#grants.set(token, { expiresAtMs: Date.now() + lifetimeMs, actions });
    this.issued++;
    return token;
  }

  #allows(authorization: string | undefined, repository: string, action: string): 'yes' | 'no' | 'insufficient' {
    if (this.#auth.kind === 'basic') return userOf(this.#auth.users, authorization) === undefined ? 'no' : 'yes';
    const grant = this.#grants.get(/^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '');
    if (grant === undefined || grant.expiresAtMs <= Date.now()) return 'no';
    return grant.actions.get(`repository:${repository}`)?.has(action) === true ? 'yes' : 'insufficient';
  }

  #challenge(realm: string, repository: string, actions: string): string[] {
    if (this.#auth.kind === 'basic') return ['Basic realm="simulated, registry"'];
    const scope = `repository:${repository}:${actions}`;
    // Two headers, the first one useless, as some proxies send them.
    return ['Negotiate', `Bearer realm="${realm}",service="simulator",scope="${scope}"`];
  }
}

/** `repository:a/b:pull,push` as a key and its actions; unknown users may only pull. */
function grantOf(scope: string, isKnown: boolean): [string, ReadonlySet<string>] {
  const colon = scope.lastIndexOf(':');
  const actions = scope.slice(colon + 1).split(',');
  return [scope.slice(0, colon), new Set(isKnown ? actions : actions.filter((action) => action === 'pull'))];
}

function userOf(users: Readonly<Record<string, string>>, authorization: string | undefined): string | undefined {
  const encoded = /^Basic (.+)$/.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const plain = Buffer.from(encoded, 'base64').toString();
  return Object.entries(users).find(([name, password]) => plain === `${name}:${password}`)?.[0];
}
