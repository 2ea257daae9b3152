import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

export type TestAuth =
  | { readonly kind: 'basic'; readonly users: Readonly<Record<string, string>> }
  | {
      readonly kind: 'token';
      readonly users?: Readonly<Record<string, string>>;
      /** Refresh tokens that an OAuth2 POST may exchange. */
      readonly identityTokens?: readonly string[];
      /** Pulling needs a token too, but everybody gets one. */
      readonly anonymousPull?: boolean;
      readonly lifetimeMs: number;
    };

interface Grant {
  readonly expiresAtMs: number;
  /** `repository:a/b` -> pull, push */
  readonly actions: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Decides who may do what, and issues tokens that really expire. */
export class TestTokenService {
  /** Requests to /token that were answered with a token. */
  issued = 0;
  readonly #auth: TestAuth;
  readonly #grants = new Map<string, Grant>();

  constructor(auth: TestAuth) {
    this.#auth = auth;
  }

  /** Tokens that are out there stop working at once. */
  revokeAll(): void {
    this.#grants.clear();
  }

  allows(authorization: string | undefined, repository: string, action: string): boolean {
    if (this.#auth.kind === 'basic') return isUser(this.#auth.users, authorization);
    const grant = this.#grants.get(/^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '');
    if (grant === undefined || grant.expiresAtMs <= Date.now()) return false;
    return grant.actions.get(`repository:${repository}`)?.has(action) === true;
  }

  challenge(origin: string, repository: string, action: string): string[] {
    if (this.#auth.kind === 'basic') return ['Basic realm="test, registry"'];
    const scope = `repository:${repository}:${action}`;
    // Two headers, the first of no use to anybody, as some proxies send them.
    return ['Negotiate', `Bearer realm="${origin}/token",service="test",scope="${scope}"`];
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const auth = this.#auth;
    if (auth.kind === 'basic') return void response.writeHead(404).end();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(request.url ?? '/', 'http://test');
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const isPost = request.method === 'POST';
    const { authorization } = request.headers;
    const isKnown = isPost
      ? form.get('grant_type') === 'refresh_token' &&
        auth.identityTokens?.includes(form.get('refresh_token') ?? '') === true
      : isUser(auth.users ?? {}, authorization);
    const isAnonymous = !isPost && authorization === undefined;
    if (!isKnown && !(isAnonymous && auth.anonymousPull === true)) {
      return void response.writeHead(401).end('{"details":"wrong password: hunter2"}');
    }
    const scopes = isPost ? (form.get('scope') ?? '').split(' ') : url.searchParams.getAll('scope');
    const token = randomBytes(24).toString('base64url');
    this.#grants.set(token, {
      expiresAtMs: Date.now() + auth.lifetimeMs,
      actions: new Map(scopes.map((scope) => grantOf(scope, isKnown))),
    });
    this.issued++;
    const body = JSON.stringify({ [isPost ? 'access_token' : 'token']: token, expires_in: auth.lifetimeMs / 1000 });
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  }
}

function grantOf(scope: string, isKnown: boolean): [string, ReadonlySet<string>] {
  const colon = scope.lastIndexOf(':');
  const actions = scope.slice(colon + 1).split(',');
  return [scope.slice(0, colon), new Set(isKnown ? actions : actions.filter((action) => action === 'pull'))];
}

function isUser(users: Readonly<Record<string, string>>, authorization: string | undefined): boolean {
  const encoded = /^Basic (.+)$/.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return false;
  const plain = Buffer.from(encoded, 'base64').toString();
  return Object.entries(users).some(([name, password]) => plain === `${name}:${password}`);
}
