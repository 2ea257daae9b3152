import { FormatError } from '../estargz/error.ts';
import { PATH_LIMIT_BYTES } from './name-tree.ts';

/** Of containerd's continuity/fs: RootPath. */
const linkLimit = 255;

/** Limit per layer on resolving symbolic links, in characters of walked paths. */
const workLimit = 1 << 25;

/** Work of all resolutions of a layer. */
export interface ResolutionWork {
  done: number;
}

/** A tree of numbered nodes; 0 is none. */
export interface LinkedTree {
  readonly root: number;
  child(directory: number, name: Buffer): number;
  parent(directory: number): number;
  isDirectory(node: number): boolean;
  /** In Latin-1; undefined if the node is not a symbolic link. */
  linkTarget(node: number): string | undefined;
}

/** MAXSYMLINKS of Linux. */
const kernelLinkLimit = 40;

/**
 * lstat(2) of a path below a directory that is not the kernel's root: relative links before the last component are followed;
 * absolute ones lead out of the tree, where nothing is found. Throws FormatError 'name' for ELOOP and ENOTDIR.
 */
export function lookUp(tree: LinkedTree, path: string, work: ResolutionWork): number {
  const names = path.split('/').reverse();
  let node = tree.root;
  let links = 0;
  while (names.length > 0) {
    const name = names.pop()!;
    work.done += name.length + 1;
    if (name === '' || name === '.') continue;
    if (!tree.isDirectory(node)) throw new FormatError('name', `leads through ${quote(path)}, a file`);
    if (name === '..') {
      node = tree.parent(node);
      continue;
    }
    const child = tree.child(node, Buffer.from(name, 'latin1'));
    if (child === 0) return 0;
    const target = names.length === 0 ? undefined : tree.linkTarget(child);
    if (target === undefined) {
      node = child;
      continue;
    }
    if (target.startsWith('/')) return 0;
    if (++links > kernelLinkLimit)
      throw new FormatError('name', `leads through too many symbolic links at ${quote(path)}`);
    names.push(...target.split('/').reverse());
  }
  return node;
}

/**
 * Resolves all symbolic links of `path` within a root, as continuity's RootPath does step by step: the two must agree on `..`
 * behind a link. `readLink` returns the target of the link at a clean absolute path, or undefined. Missing components are
 * kept as they are. Strings are Latin-1, one byte per character.
 */
export function rootPath(
  path: string,
  readLink: (path: string) => string | undefined,
  work: ResolutionWork = { done: 0 },
): string {
  let links = 0;

  const step = (relative: string): { path: string; isLink: boolean } => {
    if (links > linkLimit) throw refuse('too many symbolic links');
    const absolute = clean(`/${relative}`);
    if (absolute === '/') return { path: absolute, isLink: false };
    if (absolute.length > PATH_LIMIT_BYTES) throw refuse(`a path of ${absolute.length} bytes behind symbolic links`);
    work.done += absolute.length;
    if (work.done > workLimit) throw new FormatError('limit', 'its names lead through too many symbolic links');
    const target = readLink(absolute);
    if (target === undefined) return { path: absolute, isLink: false };
    links++;
    return { path: target, isLink: true };
  };

  const walk = (whole: string): string => {
    let dir = whole;
    let file = '';
    for (;;) {
      const cut = dir.lastIndexOf('/') + 1;
      file = dir.slice(cut);
      dir = dir.slice(0, cut);
      if (dir === '') return step(file).path;
      if (file !== '') break;
      if (dir === '/') return dir;
      dir = dir.slice(0, -1);
    }
    const parent = walk(dir);
    const found = step(join(parent, file));
    return !found.isLink || found.path.startsWith('/') ? found.path : join(parent, found.path);
  };

  if (path === '') return '/';
  for (let current = path; ; ) {
    const before = links;
    current = walk(current);
    if (links > before) continue;
    const absolute = clean(`/${current}`);
    if (absolute === current) return absolute;
    current = absolute;
  }

  function refuse(problem: string): FormatError {
    return new FormatError('name', `${problem}: unpacking fails on it too`, {
      entry: Buffer.from(path, 'latin1').toString('utf8'),
    });
  }
}

function quote(path: string): string {
  return JSON.stringify(Buffer.from(path.slice(0, 200), 'latin1').toString('utf8'));
}

function join(first: string, second: string): string {
  return clean(first === '' ? second : `${first}/${second}`);
}

/** Go's filepath.Clean. */
function clean(path: string): string {
  const isAbsolute = path.startsWith('/');
  const kept: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop();
    else if (!isAbsolute) kept.push(part);
  }
  const joined = kept.join('/');
  return isAbsolute ? `/${joined}` : joined === '' ? '.' : joined;
}
