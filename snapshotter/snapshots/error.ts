/** containerd's own classes of error (errdefs), as far as a snapshotter has use for them. */
export type SnapshotErrorCode =
  | 'not-found'
  | 'already-exists'
  | 'failed-precondition'
  | 'invalid-argument'
  | 'unavailable';

export class SnapshotError extends Error {
  override readonly name = 'SnapshotError';
  readonly code: SnapshotErrorCode;
  /** The key, name or argument that the error is about. */
  readonly subject: string;

  constructor(code: SnapshotErrorCode, subject: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.subject = subject;
  }
}
