/**
 * A stack of layers as a program writes it down: what the generator makes, what a seed shrinks to, and what a regression
 * test loads. Text is Latin-1, a character a byte, so that JSON can hold names and values of any bytes.
 */

export interface Stack {
  /** Bottom first. */
  readonly layers: readonly StackLayer[];
}

export const compressions = ['plain', 'gzip', 'multi-gzip', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

export interface StackLayer {
  readonly compression: Compression;
  readonly entries: readonly StackEntry[];
}

export const entryTypes = ['dir', 'file', 'contiguous', 'symlink', 'hardlink', 'char', 'block', 'fifo'] as const;
export type EntryType = (typeof entryTypes)[number];

/** One entry of a layer's tar. What is absent is what most entries have. */
export interface StackEntry {
  readonly type: EntryType;
  /** As it stands in the archive: `./`, `..` and trailing slashes included. */
  readonly name: string;
  /** Target of a symbolic or a hard link. */
  readonly link?: string;
  /** Default: 0755 for directories, 0644 otherwise. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Decimal seconds since the epoch, possibly negative and with a fraction. Default: 1000000000. */
  readonly mtime?: string;
  /** Repeated up to `sizeBytes`. Default: empty. */
  readonly content?: string;
  readonly sizeBytes?: number;
  /** Stored as a PAX sparse file of this version: the middle third of the content is a hole. */
  readonly sparse?: '0.0' | '0.1' | '1.0';
  readonly device?: readonly [major: number, minor: number];
  /** Stored as PAX records SCHILY.xattr.NAME. */
  readonly xattrs?: Readonly<Record<string, string>>;
  /** Long names and large numbers as GNU tar writes them, not as PAX records. */
  readonly isGnu?: boolean;
}

export const defaultMtime = '1000000000';

/** JSON, one entry a line, that `parseStack` reads. */
export function formatStack(stack: Stack): string {
  const layers = stack.layers.map(({ compression, entries }) => {
    const lines = entries.map((entry) => `      ${toAscii(JSON.stringify(entry))}`);
    const list = lines.length === 0 ? '[]' : `[\n${lines.join(',\n')}\n    ]`;
    return `    { "compression": ${JSON.stringify(compression)}, "entries": ${list} }`;
  });
  return `{\n  "layers": [\n${layers.join(',\n')}\n  ]\n}\n`;
}

/** Throws an Error that names the first thing that is wrong. */
export function parseStack(json: string): Stack {
  const value = JSON.parse(json) as Partial<Stack>;
  if (!Array.isArray(value.layers)) throw new Error('not a stack of layers: no "layers"');
  for (const [index, layer] of (value as Stack).layers.entries()) {
    if (!compressions.includes(layer.compression)) {
      throw new Error(`layer ${index}: compression ${JSON.stringify(layer.compression)} is unknown`);
    }
    if (!Array.isArray(layer.entries)) throw new Error(`layer ${index}: no "entries"`);
    for (const entry of layer.entries) {
      if (typeof entry.name !== 'string') throw new Error(`layer ${index}: an entry has no name`);
      if (!entryTypes.includes(entry.type)) {
        throw new Error(`layer ${index}: ${JSON.stringify(entry.name)} has the unknown type ${String(entry.type)}`);
      }
    }
  }
  return value as Stack;
}

function toAscii(json: string): string {
  return json.replaceAll(/[\u007f-\uffff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
