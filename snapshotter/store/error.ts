export type StoreErrorCode =
  /** Bytes from the registry do not inflate to what the TOC promises, or fail their digest. Nothing was stored. */
  | 'corrupt'
  /** A range of the blob could not be fetched; `cause` says why. A later ensure tries again. */
  | 'fetch'
  /** The local disk refused; `cause` is the system error (ENOSPC: free space under the daemon's root). */
  | 'disk'
  /** The store's directory is not one this version wrote, or is damaged. It is to be created again. */
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
