/** Reads the TOC of a layer that was converted earlier from its cached blob. */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { FOOTER_MAX, type Footer, parseFooter } from '../estargz/footer.ts';
import { readWholeToc } from '../estargz/toc.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import type { LayerTree, TreeNode } from './lower-layers.ts';
import { joinPath, parentOf } from './path-resolution.ts';
import { readInto } from '../tar/file-reader.ts';
import { normaliseName } from '../tar/tar.ts';

/** Fields as toc-writer.ts writes them, absent where zero. */
export interface TocLine {
  readonly name: string;
  readonly type: string;
  readonly modtime?: string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly size?: number;
  readonly offset?: number;
  readonly chunkOffset?: number;
  readonly chunkSize?: number;
}

/** The blob must have been written by this converter, and its digest verified. */
export function readBlobTree(path: string): LayerTree {
  const tree = new Map<string, TreeNode>();
  for (const line of readBlobToc(path).entries) {
    const name = normaliseName(line.name);
    const base = name.slice(name.lastIndexOf('/') + 1);
    if (base === '.wh..wh..opq' || line.type === 'chunk') continue;
    if (base.startsWith('.wh.')) tree.set(joinPath(parentOf(name), base.slice('.wh.'.length)), { kind: 'other' });
    // A hard link may point to a symbolic link; its target precedes it.
    else if (line.type === 'hardlink')
      tree.set(name, tree.get(normaliseName(line.linkName ?? '')) ?? { kind: 'other' });
    else tree.set(name, treeNode(line));
  }
  return tree;
}

/** The blob must have been written by this converter, and its digest verified. */
export function readBlobToc(path: string): { readonly entries: readonly TocLine[]; readonly payloadEnd: number } {
  const { json, payloadEnd } = readJson(path);
  // Latin-1, one character per byte, as in every TarEntry.
  const { entries } = JSON.parse(json.toString('latin1')) as { readonly entries: readonly TocLine[] };
  return { entries, payloadEnd };
}

/** Bytes from the TOC to the end. */
export function tocSizeBytesOf(path: string): number {
  const fd = openSync(path, 'r');
  try {
    return fstatSync(fd).size - readFooter(fd, path).tocOffset;
  } finally {
    closeSync(fd);
  }
}

function readFooter(fd: number, path: string): Footer {
  const { size } = fstatSync(fd);
  const tail = Buffer.alloc(Math.min(FOOTER_MAX, size));
  readInto(fd, tail, 0, size - tail.length, tail.length);
  const footer = parseFooter(tail, size);
  if (footer === undefined) throw new Error(`${path} has no footer`);
  return footer;
}

/** Of the TOC's JSON. Throws FormatError if there is none. */
export function digestBlobToc(path: string): Digest {
  return digestOf(readJson(path).json);
}

function readJson(path: string): { readonly json: Buffer; readonly payloadEnd: number } {
  const fd = openSync(path, 'r');
  try {
    const footer = readFooter(fd, path);
    const toc = Buffer.alloc(footer.tocEnd - footer.tocOffset);
    readInto(fd, toc, 0, footer.tocOffset, toc.length);
    return { json: readWholeToc(toc, footer), payloadEnd: footer.payloadEnd };
  } finally {
    closeSync(fd);
  }
}

function treeNode({ type, linkName = '', modtime, mode = 0, uid = 0, gid = 0, xattrs }: TocLine): TreeNode {
  if (type === 'symlink') return { kind: 'symlink', target: linkName };
  if (type !== 'dir') return { kind: 'other' };
  const values = Object.entries(xattrs ?? {}).map(
    ([name, value]) => [name, Buffer.from(value, 'base64').toString('latin1')] as const,
  );
  return {
    kind: 'dir',
    attributes: {
      mode,
      uid,
      gid,
      userName: '',
      groupName: '',
      mtime: parseTime(modtime),
      xattrs: values.length === 0 ? undefined : new Map(values),
    },
  };
}

/** RFC 3339 in UTC with up to nine fractional digits, of which Date keeps only three. */
function parseTime(text: string | undefined): { sec: number; nsec: number } {
  if (text === undefined) return { sec: 0, nsec: 0 };
  const fraction = /\.(\d+)Z$/.exec(text)?.[1] ?? '';
  return { sec: Math.floor(Date.parse(text) / 1000), nsec: Number(fraction.padEnd(9, '0')) };
}
