export type RegistryErrorCode =
  | 'invalid-reference'
  | 'invalid-host'
  | 'unauthorized'
  | 'not-found'
  | 'rate-limited'
  | 'refused'
  | 'server'
  | 'unreachable'
  | 'untrusted'
  | 'timeout'
  | 'bad-range'
  | 'digest-mismatch'
  | 'too-large'
  | 'protocol'
  | 'keychain';

export interface RegistryErrorFields {
  /** The operation and its object, in the imperative: `fetch blob sha256:… of repo`. */
  readonly operation: string;
  readonly host?: string | undefined;
  readonly status?: number | undefined;
  /** From the Retry-After header (429, 503). */
  readonly retryAfterMs?: number | undefined;
  readonly remedy?: string | undefined;
  readonly cause?: unknown;
}

/**
 * Any failure of a request to a registry. `code` tells callers how to react. The message is one line and safe to print:
 * credentials, tokens and the query strings of signed URLs are removed here.
 */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: RegistryErrorCode;
  readonly operation: string;
  /** What happened, without operation, host and remedy. */
  readonly detail: string;
  readonly host: string | undefined;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: RegistryErrorCode, detail: string, fields: RegistryErrorFields) {
    const at = fields.host === undefined ? '' : ` (${fields.host})`;
    const remedy = fields.remedy ?? remedies[code] ?? '';
    const message = `${fields.operation}${at}: ${detail}${remedy === '' ? '' : `; ${remedy}`}`;
    super(redact(message), fields.cause === undefined ? undefined : { cause: safeCause(fields.cause) });
    this.code = code;
    this.operation = redact(fields.operation);
    this.detail = redact(detail);
    this.host = fields.host;
    this.status = fields.status;
    this.retryAfterMs = fields.retryAfterMs;
  }
}

const remedies: Partial<Record<RegistryErrorCode, string>> = {
  unauthorized: 'check the credentials for this registry (docker login, imagePullSecrets)',
  'rate-limited': 'wait, or log in for a higher limit',
  unreachable: 'check the name, the port and the network',
  untrusted: 'install its CA certificate or mark the host insecure',
};

/** The text on one line, without userinfo and query of URLs, and without what follows `Bearer`, `Basic` or a secret's name. */
export function redact(text: string): string {
  return text
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'@]*@/gi, '$1')
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/[^\s?#"']*)\?[^\s"']*/gi, '$1?…')
    .replace(/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{4,}/gi, '$1 …')
    .replace(
      /("?\b(?:access_token|refresh_token|identitytoken|registrytoken|token|password|secret|auth|signature)"?\s*[=:]\s*)"?[^\s",;&}]+"?/gi,
      '$1…',
    )
    .replace(/\p{Cc}+/gu, ' ');
}

/** Causes are logged too (pino prints the chain), so a foreign one is reduced to its name, code and redacted message. */
function safeCause(cause: unknown): unknown {
  if (cause instanceof RegistryError) return cause;
  if (cause instanceof AggregateError) {
    return new AggregateError(cause.errors.map(safeCause), redact(cause.message));
  }
  if (!(cause instanceof Error)) return new Error(redact(String(cause)));
  const copy: Error & { code?: unknown } = new Error(redact(cause.message));
  copy.name = cause.name;
  copy.code = (cause as { code?: unknown }).code;
  return copy;
}
