export type FuseErrorCode =
  /** /dev/fuse is missing or may not be opened. */
  | 'no-device'
  /** mount(2) refused, or the mount point cannot be used. */
  | 'mount-failed'
  /** The kernel did not finish FUSE_INIT, or speaks a protocol older than 7.23. */
  | 'init-failed'
  /** A slot is a nodeid prefix and never used twice. */
  | 'slot-used'
  /** The server was closed, or the kernel ended the connection. */
  | 'closed';

export class FuseError extends Error {
  override readonly name = 'FuseError';
  readonly code: FuseErrorCode;
  readonly mountpoint: string;

  constructor(code: FuseErrorCode, mountpoint: string, message: string, cause?: unknown) {
    super(`FUSE mount ${mountpoint}: ${message}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.mountpoint = mountpoint;
  }
}
