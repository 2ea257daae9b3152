export type FormatErrorCode =
  /** The blob ends with a footer that has an impossible value. */
  | 'footer'
  /** The TOC's container (gzip member, tar header, zstd frame) is damaged. */
  | 'toc'
  /** The TOC is malformed JSON, or JSON of another shape. */
  | 'json'
  /** A field of a TOC entry has an impossible value. */
  | 'entry'
  /** A name or path in the TOC cannot exist on a file system. */
  | 'name'
  /** The target of a hard link is missing, a directory, or part of a cycle. */
  | 'link'
  /** The chunks of a file overlap, leave gaps, or lie outside the blob. */
  | 'chunk'
  /** A packed TOC is damaged, or has an impossible value. */
  | 'packed-toc'
  /** A list of hot ranges is malformed, or of another layer. */
  | 'hot-ranges'
  /** An access profile is malformed. */
  | 'access-profile'
  /** A compressed member does not inflate to what the TOC promises. */
  | 'member'
  /** Over a limit of this reader: see toc.ts, toc-member.ts, json-scanner.ts, member.ts and tree/build.ts. */
  | 'limit'
  /** Well formed, but of a kind that this reader does not support. */
  | 'unsupported';

/** A malformed or unsupported blob, TOC or chunk. `entry` is the name of the TOC entry at fault, if there is one. */
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

/** Names are untrusted and may reach a terminal: escapes control characters and bounds the length. */
function quoteName(name: string): string {
  return JSON.stringify(name.length > 160 ? `${name.slice(0, 120)}…${name.slice(-39)}` : name);
}
