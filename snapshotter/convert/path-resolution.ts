/**
 * Paths with symbolic links in them, resolved within a layer as containerd's fs.RootPath does: `..` and absolute targets stay
 * below the layer's root, and a relative target is joined to its directory by its text.
 */
import { normaliseName } from './tar.ts';

export type Found =
  | { readonly kind: 'dir' | 'other' | 'missing' }
  | { readonly kind: 'symlink'; readonly target: string };

/** What lies at a path of which no part is a link. */
export type Look = (path: string) => Found;

export type Resolution =
  /** All of the path exists. */
  | { readonly kind: 'dir' | 'other'; readonly path: string }
  /** `path` is a directory, in which the first of `missing` is not. */
  | { readonly kind: 'missing'; readonly path: string; readonly missing: readonly string[] }
  | { readonly kind: 'too-many-links' | 'not-a-directory' };

/** As containerd's limit. */
const maxLinks = 255;

/** The last component is followed too. */
export function resolvePath(path: string, look: Look): Resolution {
  let parts = partsOf(path);
  let links = 0;
  let at = '';
  let found: Found = { kind: 'dir' };
  for (let index = 0; index < parts.length; index++) {
    if (found.kind === 'other') return { kind: 'not-a-directory' };
    const part = parts[index]!;
    const next: string = part === '..' ? parentOf(at) : joinPath(at, part);
    found = next === '' ? { kind: 'dir' } : look(next);
    if (found.kind === 'missing') {
      // What does not exist has no links in it: `..` after it goes by the text.
      return placeMissing(at, parts.slice(index), look);
    }
    if (found.kind === 'symlink') {
      if (++links > maxLinks) return { kind: 'too-many-links' };
      const { target } = found;
      const head = target.startsWith('/') ? partsOf(target) : partsOf(normaliseName(`${at}/${target}`));
      parts = [...head, ...parts.slice(index + 1)];
      index = -1;
      at = '';
      found = { kind: 'dir' };
      continue;
    }
    at = next;
  }
  return { kind: found.kind === 'other' ? 'other' : 'dir', path: at };
}

export function joinPath(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function placeMissing(at: string, rest: readonly string[], look: Look): Resolution {
  if (!rest.includes('..')) return { kind: 'missing', path: at, missing: rest };
  return resolvePath(normaliseName(joinPath(at, rest.join('/'))), look);
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
