export type FormatErrorCode =
  /** A recognised footer with impossible values. */
  | 'footer'
  /** The TOC's container (gzip member, tar header, zstd frame) is damaged. */
  | 'toc'
  /** The TOC is not the JSON it should be. */
  | 'json'
  /** A field of a TOC entry has an impossible value. */
  | 'entry'
  /** A name or path in the TOC cannot exist on a file system. */
  | 'name'
  /** A hard link to nothing, to a directory, or in a cycle. */
  | 'link'
  /** The chunks of a file overlap, leave gaps, or lie outside the blob. */
  | 'chunk'
  /** A compressed member does not inflate to what the TOC promises. */
  | 'member'
  /** Beyond a limit of this reader; see toc.ts, member.ts and tree/build.ts. */
  | 'limit'
  /** Well formed, but of a kind this reader does not know. */
  | 'unsupported';

/** A blob, TOC or chunk that cannot be trusted. `entry` names the TOC entry at fault, where there is one. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  readonly code: FormatErrorCode;
  readonly entry: string | undefined;

  constructor(code: FormatErrorCode, message: string, options: { entry?: string; cause?: unknown } = {}) {
    const subject = options.entry === undefined ? '' : `TOC entry ${quoteName(options.entry)}: `;
    super(subject + message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.entry = options.entry;
  }
}

/** Names are untrusted: control characters are escaped and the length is bounded for terminals. */
function quoteName(name: string): string {
  return JSON.stringify(name.length > 160 ? `${name.slice(0, 120)}…${name.slice(-39)}` : name);
}
