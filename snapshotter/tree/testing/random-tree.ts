import { fc } from '../../../testkit/random.ts';
import { digestOf } from '../../registry/digest.ts';
import type { JsonEntry } from './toc-json.ts';

/** A tree without special names; names are unique in each directory. */
export type Node =
  | { readonly kind: 'dir'; readonly attributes: Attributes | undefined; readonly children: ReadonlyMap<string, Node> }
  | { readonly kind: 'file'; readonly attributes: Attributes; readonly size: number; readonly chunkSize: number }
  | { readonly kind: 'symlink'; readonly attributes: Attributes; readonly target: string }
  | {
      readonly kind: 'device';
      readonly attributes: Attributes;
      readonly type: 'char' | 'block';
      readonly major: number;
      readonly minor: number;
    }
  | { readonly kind: 'fifo'; readonly attributes: Attributes };

export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSec: number;
  readonly xattrs: { readonly [name: string]: Buffer };
}

const nameArbitrary = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 12 }),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
    fc.constantFrom('a', 'b', 'ab', 'a.', 'a-'),
  )
  .map((name) => name.replace(/[/\0]/g, '_').toWellFormed())
  .filter((name) => name !== '.' && name !== '..' && !name.startsWith('.wh.') && name !== '__proto__');

const xattrValue = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));

const attributesArbitrary: fc.Arbitrary<Attributes> = fc.record({
  mode: fc.nat(0o7777),
  uid: fc.nat(70_000),
  gid: fc.nat(70_000),
  mtimeSec: fc.integer({ min: -1_000_000_000, max: 4_000_000_000 }),
  xattrs: fc.dictionary(
    fc.string({ unit: fc.constantFrom(...'abcXYZ._-'), minLength: 1, maxLength: 8 }).map((name) => `user.${name}`),
    xattrValue,
    { maxKeys: 3 },
  ),
});

/** `fileSize` draws sizes: for real mounts many block boundaries. */
export function treeArbitrary(fileSize: fc.Arbitrary<number>): fc.Arbitrary<Node> {
  const { directory } = fc.letrec<{ directory: Node; node: Node }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      fc.record({
        kind: fc.constant('file' as const),
        attributes: attributesArbitrary,
        size: fileSize,
        chunkSize: fc.integer({ min: 1, max: 70_000 }),
      }),
      fc.record({
        kind: fc.constant('symlink' as const),
        attributes: attributesArbitrary,
        target: fc.oneof(nameArbitrary, fc.string({ minLength: 200, maxLength: 255, unit: fc.constantFrom('a', '/') })),
      }),
      fc.record({ kind: fc.constant('fifo' as const), attributes: attributesArbitrary }),
      fc.record({
        kind: fc.constant('device' as const),
        attributes: attributesArbitrary,
        type: fc.constantFrom('char' as const, 'block' as const),
        major: fc.integer({ min: 1, max: 4095 }),
        minor: fc.nat(0xfffff),
      }),
      tie('directory'),
      tie('directory'),
    ),
    directory: fc.record({
      kind: fc.constant('dir' as const),
      attributes: fc.option(attributesArbitrary, { nil: undefined, freq: 4 }),
      children: fc.array(fc.tuple(nameArbitrary, tie('node')), { maxLength: 8 }).map((pairs) => new Map(pairs)),
    }),
  }));
  return directory;
}

export interface EncodedTree {
  readonly entries: JsonEntry[];
  /** Paths and nodes, without the root. */
  readonly paths: ReadonlyMap<string, Node>;
  /** Hard links: name to path in `paths`. */
  readonly links: ReadonlyMap<string, string>;
  readonly payloadEnd: number;
}

/**
 * The TOC of a tree, shuffled by `order`; chunks follow their file, and hard links come last. A directory without attributes
 * gets no entry if its children imply it. `content` determines the digests of chunks.
 */
export function encodeTree(
  root: Node,
  linkTargets: readonly number[],
  order: (count: number) => number,
  content: (path: string, offset: number, size: number) => Uint8Array = (path, offset) =>
    Buffer.from(`${path}@${offset}`),
): EncodedTree {
  const paths = new Map<string, Node>();
  if (root.kind === 'dir') for (const [name, node] of root.children) notePaths(paths, name, node);
  const linkable = [...paths].filter(([, node]) => node.kind !== 'dir').map(([path]) => path);
  const links = new Map<string, string>();
  if (linkable.length > 0) {
    for (const [index, target] of linkTargets.entries()) {
      const name = `hard link ${index}`;
      if (!paths.has(name)) links.set(name, linkable[target % linkable.length]!);
    }
  }
  const groups: JsonEntry[][] = [];
  if (root.kind === 'dir' && root.attributes !== undefined)
    groups.push([{ name: './', type: 'dir', ...encodeAttributes(root.attributes) }]);
  for (const [path, node] of paths) {
    if (node.kind === 'dir' && node.attributes === undefined && node.children.size > 0) continue;
    groups.push(encodeNode(path, node, content));
  }
  for (let index = groups.length - 1; index > 0; index--) {
    const other = order(index + 1);
    [groups[index], groups[other]] = [groups[other]!, groups[index]!];
  }
  // A hard link needs its target before it.
  for (const [name, target] of links) {
    const attributes = encodeAttributes(paths.get(target)!.attributes!);
    groups.push([{ name, type: 'hardlink', linkName: target, ...attributes }]);
  }
  let offset = 100;
  const entries = groups.flat();
  for (const entry of entries) {
    if (entry.chunkDigest === undefined) continue;
    entry.offset = offset;
    offset += 1000;
  }
  return { entries, paths, links, payloadEnd: offset };
}

function notePaths(paths: Map<string, Node>, path: string, node: Node): void {
  paths.set(path, node);
  if (node.kind === 'dir') for (const [name, child] of node.children) notePaths(paths, `${path}/${name}`, child);
}

function encodeAttributes({ mode, uid, gid, mtimeSec, xattrs }: Attributes): object {
  const encoded = Object.fromEntries(Object.entries(xattrs).map(([name, value]) => [name, value.toString('base64')]));
  const modtime = `${new Date(mtimeSec * 1000).toISOString().slice(0, 19)}Z`;
  return { mode, uid, gid, modtime, ...(Object.keys(encoded).length > 0 ? { xattrs: encoded } : {}) };
}

function encodeNode(
  path: string,
  node: Node,
  content: (path: string, offset: number, size: number) => Uint8Array,
): JsonEntry[] {
  switch (node.kind) {
    case 'dir':
      return [
        {
          name: `${path}/`,
          type: 'dir',
          ...(node.attributes === undefined ? { mode: 0o755 } : encodeAttributes(node.attributes)),
        },
      ];
    case 'symlink':
      return [{ name: path, type: 'symlink', linkName: node.target, ...encodeAttributes(node.attributes) }];
    case 'fifo':
      return [{ name: path, type: 'fifo', ...encodeAttributes(node.attributes) }];
    case 'device':
      return [
        {
          name: path,
          type: node.type,
          devMajor: node.major,
          devMinor: node.minor,
          ...encodeAttributes(node.attributes),
        },
      ];
    case 'file':
      return encodeFile(path, node, content);
  }
}

function encodeFile(
  path: string,
  node: Node & { kind: 'file' },
  content: (path: string, offset: number, size: number) => Uint8Array,
): JsonEntry[] {
  const head: JsonEntry = { name: path, type: 'reg', size: node.size, ...encodeAttributes(node.attributes) };
  if (node.size === 0) return [head];
  const entries: JsonEntry[] = [];
  for (let at = 0; at < node.size; at += node.chunkSize) {
    const size = Math.min(node.chunkSize, node.size - at);
    const isLast = at + size === node.size;
    const chunkDigest = digestOf(content(path, at, size));
    const fields = { chunkOffset: at, ...(isLast ? {} : { chunkSize: size }), chunkDigest };
    entries.push(at === 0 ? { ...head, ...fields } : { name: path, type: 'chunk', ...fields });
  }
  return entries;
}
