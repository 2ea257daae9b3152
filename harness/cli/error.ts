export type HarnessErrorCode =
  | 'not-root'
  | 'unsupported-host'
  | 'missing-command'
  | 'package-install'
  | 'busy'
  | 'disk-full'
  | 'network'
  | 'unauthorized'
  | 'rate-limited'
  | 'start'
  | 'stopped'
  | 'timeout'
  | 'image-build'
  | 'image-convert'
  | 'unsupported-image'
  | 'not-ready'
  | 'not-lazy'
  | 'cleanup'
  | 'uncommitted'
  | 'not-resumable'
  | 'not-comparable'
  | 'usage';

/** A failure that a person can act on: the operation, the object and the remedy. */
export class HarnessError extends Error {
  readonly code: HarnessErrorCode;
  /** What to do about it, in one sentence; undefined if nothing can be done. */
  readonly remedy: string | undefined;

  constructor(code: HarnessErrorCode, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HarnessError';
    this.code = code;
    this.remedy = options.remedy;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The last lines of a program's output, joined to fit an error message. Credentials in URLs are redacted. */
export function lastLines(output: string, count = 3): string {
  return output
    .replace(/:\/\/[^/\s@]+@/g, '://***@')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-count)
    .join(' | ')
    .slice(-600);
}
