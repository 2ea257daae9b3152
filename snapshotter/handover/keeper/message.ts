/** Lines of JSON on the keeper's socket. */
export type FromKeeper = {
  readonly pid: number;
  /** Descriptor numbers in the keeper, to be duplicated with pidfd_getfd(2); null where it holds none. */
  readonly fuseFd: number | null;
  readonly groupFd: number | null;
};

/**
 * `dismiss`: nothing is mounted any more, exit. A connection that ends otherwise counts as the daemon's death.
 * `superblocks`: replaces the set of EROFS superblocks to guard; `more-superblocks`: adds to it.
 */
export type ToKeeper =
  | { readonly kind: 'dismiss' }
  | { readonly kind: 'superblocks' | 'more-superblocks'; readonly names: readonly string[] };

export const socketName = 'keeper.sock';
