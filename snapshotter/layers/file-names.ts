import type { InodeTable } from '../tree/inode-table.ts';
import { findPath, isRegular, isSymlink } from '../tree/lookup.ts';
import { readElfNames } from './elf-names.ts';

/** Bytes [offset, offset + sizeBytes) of a file, fewer at its end; undefined if they are not present yet. */
export type ReadAt = (offset: number, sizeBytes: number) => Buffer | undefined;

/** Names of other files in a file's content. A name with a slash is a path in the image. */
export type FileNames =
  | { readonly kind: 'libraries' | 'programs'; readonly names: readonly string[] }
  /** The content names nothing. */
  | { readonly kind: 'none' }
  /** Depends on absent bytes at this offset. */
  | { readonly kind: 'wanting'; readonly offset: number };

export interface FoundFile {
  readonly layer: number;
  readonly inode: number;
}

const scriptBytes = 64 * 1024;
const maxScriptNames = 512;
/** As ld.so(8) is configured on Debian, Fedora and Alpine. */
const libraryDirectories = [
  ...['usr/lib/x86_64-linux-gnu', 'usr/lib/aarch64-linux-gnu', 'lib/x86_64-linux-gnu', 'lib/aarch64-linux-gnu'],
  ...['usr/lib64', 'lib64', 'usr/lib', 'lib', 'usr/local/lib'],
];
const programDirectories = ['usr/local/sbin', 'usr/local/bin', 'usr/sbin', 'usr/bin', 'sbin', 'bin'];
/** ELOOP of path_resolution(7) comes after 40; library links have two at most. */
const maxLinks = 8;

/** What the kernel, ld.so or a shell will open next, from what this file says. */
export function readFileNames(read: ReadAt): FileNames {
  const start = read(0, 2);
  if (start === undefined) return { kind: 'wanting', offset: 0 };
  if (start.toString('latin1') !== '#!') return readElfNames(read);
  const text = read(0, scriptBytes);
  if (text === undefined) return { kind: 'wanting', offset: 0 };
  const words = text.toString('latin1').match(/[\w.+/-]+/g) ?? [];
  return { kind: 'programs', names: [...new Set(words)].slice(0, maxScriptNames) };
}

/** Looks for a named file in an image's layers, topmost first. `directory` is where the file that names it lies. */
export function findNamedFile(
  layers: readonly InodeTable[],
  name: string,
  kind: 'libraries' | 'programs',
  directory: string,
): FoundFile | undefined {
  if (name.includes('/')) return findFile(layers, name);
  const directories =
    kind === 'programs'
      ? [...programDirectories, directory]
      : [...libraryDirectories, directory, `${directory}/../lib`];
  for (const candidate of directories) {
    const found = findFile(layers, `${candidate}/${name}`);
    if (found === undefined) continue;
    // Words of a script are often names of data as well.
    if (kind === 'programs' && (layers[found.layer]!.mode[found.inode]! & 0o111) === 0) continue;
    return found;
  }
  return undefined;
}

/** Follows links of the last component. Merged directories (`/lib -> usr/lib`) are found under their other name. */
function findFile(layers: readonly InodeTable[], path: string, links = 0): FoundFile | undefined {
  const normal = normalize(path);
  for (const [layer, table] of layers.entries()) {
    const inode = findPath(table, normal);
    if (inode === 0) continue;
    if (isRegular(table, inode)) return { layer, inode };
    if (!isSymlink(table, inode) || links === maxLinks) return undefined;
    const at = table.targetOffset[inode]!;
    const target = Buffer.from(table.pool.subarray(at, at + table.targetLength[inode]!)).toString('utf8');
    return findFile(layers, target.startsWith('/') ? target : `${normal}/../${target}`, links + 1);
  }
  return undefined;
}

function normalize(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}
