/**
 * Resolves paths with symbolic links within a layer, in the same steps as containerd's fs.RootPath: their order matters where
 * `..` follows a link. A path that would leave the root stays at the root.
 */
import { normaliseName } from '../tar/tar.ts';

export type Found =
  | { readonly kind: 'dir' | 'other' | 'missing' }
  | { readonly kind: 'symlink'; readonly target: string };

/** What lies at a path, as lstat(2) sees it: links are not followed. The path is relative to the root and normalised. */
export type Look = (path: string) => Found;

export type Resolution =
  /** The whole path exists. */
  | { readonly kind: 'dir' | 'other'; readonly path: string }
  /** `path` is the deepest existing directory; `missing` are the components below it. */
  | { readonly kind: 'missing'; readonly path: string; readonly missing: readonly string[] }
  | { readonly kind: PathProblem };

export type PathProblem = 'too-many-links' | 'not-a-directory' | 'too-long';

/** containerd's limit, and the kernel's (PATH_MAX). */
const maxLinks = 255;
export const maxPathBytes = 4095;

/** Follows a link in the last component too. */
export function resolvePath(path: string, look: Look): Resolution {
  try {
    return placePath(new LinkWalk(look).resolve(path), look);
  } catch (error) {
    if (error instanceof UnresolvablePath) return { kind: error.problem };
    throw error;
  }
}

export function joinPath(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** Finds how much of a path without links exists. */
function placePath(path: string, look: Look): Resolution {
  let found: Found = { kind: 'dir' };
  let at = '';
  const parts = path === '' ? [] : path.split('/');
  for (const [index, part] of parts.entries()) {
    if (found.kind !== 'dir') return { kind: 'not-a-directory' };
    found = look(joinPath(at, part));
    if (found.kind === 'missing') return { kind: 'missing', path: at, missing: parts.slice(index) };
    at = joinPath(at, part);
  }
  return { kind: found.kind === 'dir' ? 'dir' : 'other', path: at };
}

class UnresolvablePath extends Error {
  readonly problem: PathProblem;

  constructor(problem: PathProblem) {
    super(problem);
    this.problem = problem;
  }
}

/** One resolution and its count of followed links. Within it, a leading `/` marks a path already joined to the root. */
class LinkWalk {
  readonly #look: Look;
  #links = 0;

  constructor(look: Look) {
    this.#look = look;
  }

  /** Repeats until a pass follows no link. */
  resolve(path: string): string {
    let current = path;
    for (;;) {
      if (current.length > 2 * maxPathBytes) throw new UnresolvablePath('too-long');
      const before = this.#links;
      const next = this.#pass(current);
      const clean = `/${normaliseName(next)}`;
      if (before === this.#links && next === clean) return clean.slice(1);
      current = before === this.#links ? clean : next;
    }
  }

  /** Follows one link at each component. */
  #pass(path: string): string {
    const slash = path.lastIndexOf('/');
    if (slash < 0) return this.#follow(path).path;
    const name = path.slice(slash + 1);
    if (name === '') return slash === 0 ? '/' : this.#pass(path.slice(0, slash));
    const directory = this.#pass(path.slice(0, slash + 1));
    const { path: next, isLink } = this.#follow(`${directory}/${name}`);
    return !isLink || next.startsWith('/') ? next : `/${normaliseName(`${directory}/${next}`)}`;
  }

  #follow(path: string): { readonly path: string; readonly isLink: boolean } {
    if (this.#links > maxLinks) throw new UnresolvablePath('too-many-links');
    const clean = normaliseName(path);
    if (clean.length > maxPathBytes) throw new UnresolvablePath('too-long');
    const found: Found = clean === '' ? { kind: 'dir' } : this.#look(clean);
    if (found.kind === 'symlink') {
      this.#links++;
      return { path: found.target, isLink: true };
    }
    if (found.kind === 'missing' && clean.includes('/') && this.#look(parentOf(clean)).kind === 'other') {
      throw new UnresolvablePath('not-a-directory');
    }
    return { path: `/${clean}`, isLink: false };
  }
}
