export type ErofsErrorCode =
  /** The kernel has no pre-content events, refuses the mark, or the file system under the root does not raise them. */
  | 'unsupported'
  | 'mount-failed'
  /** A mount with holes that is still in use: without its guard the holes would read as zeros, so it stays. */
  | 'busy'
  | 'closed';

export class ErofsError extends Error {
  override readonly name = 'ErofsError';
  readonly code: ErofsErrorCode;
  readonly path: string;

  constructor(code: ErofsErrorCode, path: string, message: string, cause?: unknown) {
    super(`EROFS mount ${path}: ${message}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}
