/** Lines of JSON on the keeper's socket. */
export type FromKeeper = {
  readonly pid: number;
  /** Its descriptors, to be copied with pidfd_getfd; null where there is none to hold. */
  readonly fuseFd: number | null;
  readonly groupFd: number | null;
};

/**
 * `dismiss`: nothing is mounted any more, leave. Anything else that ends the connection counts as the daemon's death.
 * `superblocks`: all EROFS superblocks that are to be guarded; `more-superblocks`: some besides.
 */
export type ToKeeper =
  | { readonly kind: 'dismiss' }
  | { readonly kind: 'superblocks' | 'more-superblocks'; readonly names: readonly string[] };

export const socketName = 'keeper.sock';
