/** `implicit`: a directory without an entry, implied by longer names. Hard links are not objects. */
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
  /** Has no content in the data file: a landmark, the TOC, or an invisible file. */
  withoutData: 2,
  /** Created as an implied directory, so that it inherits attributes from the layers below. */
  inherits: 4,
  /** Some entry has named its path. */
  named: 8,
} as const;

export function isDirectoryKind(kind: number): boolean {
  return kind === kinds.dir || kind === kinds.implicit;
}
