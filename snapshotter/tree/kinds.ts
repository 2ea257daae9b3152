/** `implicit`: a directory that only longer names imply. A hard link is no object of its own. */
export const kinds = {
  implicit: 0,
  dir: 1,
  reg: 2,
  symlink: 3,
  char: 5,
  block: 6,
  fifo: 7,
  whiteout: 8,
} as const;

export const objectFlags = {
  opaque: 1,
  /** Has no content in the data file: a landmark, the TOC, or nothing that a mount shows. */
  withoutData: 2,
  /** Implied before its own entry came, if that did: what lies below it in the chain gives it attributes. */
  inherits: 4,
  /** An entry of its own named its path once. */
  named: 8,
} as const;

export function isDirectoryKind(kind: number): boolean {
  return kind === kinds.dir || kind === kinds.implicit;
}
