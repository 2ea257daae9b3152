export type StoreErrorCode =
  /** Bytes from the registry do not inflate to what the TOC promises, or fail their digest. Nothing was stored. */
  | 'corrupt'
  /** A range of the blob could not be fetched; `cause` says why. A later ensure tries again. */
  | 'fetch'
  /** A local disk operation failed; `cause` is the system error. */
  | 'disk'
  /** The store's directory was written by another version or is damaged. Create it again. */
  | 'damaged'
  /** The store was closed while, or before, the call was made. */
  | 'closed';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  /** Digest of the layer, or the directory, that the error is about. */
  readonly subject: string;

  constructor(code: StoreErrorCode, subject: string, message: string, cause?: unknown) {
    super(`${subject}: ${message}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.subject = subject;
  }
}

export function diskError(subject: string, message: string, cause: unknown): StoreError {
  return new StoreError(
    'disk',
    subject,
    isFull(cause) ? `${message}: free space under the root directory` : message,
    cause,
  );
}

/** The disk or the quota is full. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'disk' && isFull(error.cause);
}

function isFull(cause: unknown): boolean {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** A StoreError as a message to another thread: a clone would lose its class, and a system error its code. */
export interface EncodedError {
  readonly code: StoreErrorCode;
  readonly subject: string;
  readonly message: string;
  readonly cause: { readonly message: string; readonly code: string | undefined } | undefined;
}

export function encodeStoreError({ code, subject, message, cause }: StoreError): EncodedError {
  const origin =
    cause instanceof Error ? { message: cause.message, code: (cause as NodeJS.ErrnoException).code } : undefined;
  return { code, subject, message: message.slice(subject.length + 2), cause: origin };
}

export function decodeStoreError({ code, subject, message, cause }: EncodedError): StoreError {
  if (cause === undefined) return new StoreError(code, subject, message);
  const origin = Object.assign(new Error(cause.message), cause.code === undefined ? {} : { code: cause.code });
  return new StoreError(code, subject, message, origin);
}
