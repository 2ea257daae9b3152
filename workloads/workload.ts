/** How to tell that a workload is ready. A container that exits before then has failed. */
export type Ready =
  /**
   * The process exits with status 0 and its whole standard output is `stdout`, if that is given. `isAssumed`: nobody has said
   * that it exits.
   */
  | { readonly kind: 'exit'; readonly stdout?: string; readonly isAssumed?: boolean }
  /** A line of its output (either stream) matches `pattern`, for the `occurrence`-th time (default 1). */
  | { readonly kind: 'line'; readonly pattern: RegExp; readonly occurrence?: number }
  /** A GET of `path` is answered with a 2xx, and the answer contains `body` if that is given. */
  | { readonly kind: 'http'; readonly port: number; readonly path: string; readonly body?: string }
  /** A TCP connection to `port` is accepted. */
  | { readonly kind: 'port'; readonly port: number };

/** An image built by the benchmark. The directory is the Dockerfile's build context. */
export interface ImageRecipe {
  readonly name: string;
  readonly directory: string;
  /** Its base image, passed to the Dockerfile as the build argument BASE; undefined for Debian itself. */
  readonly parent: ImageRecipe | undefined;
  /** Its last stage starts from scratch: it is built with its parent and shares no layer with it. */
  readonly isStandalone?: boolean;
  /** Further build arguments. */
  readonly buildArguments?: Readonly<Record<string, string>>;
}

/** An image that somebody else has built, copied from where it is: `NAME:TAG` in a registry, `docker-daemon:NAME`, `oci:DIR`, ... */
export interface ImportedImage {
  readonly name: string;
  readonly source: string;
}

export function isImported(image: ImageRecipe | ImportedImage): image is ImportedImage {
  return 'source' in image;
}

/** What to run instead of what the image says, as the options of `docker run` do. Undefined: as the image says. */
export interface RunOverrides {
  /** Also drops the image's own arguments. */
  readonly entrypoint?: readonly string[] | undefined;
  readonly args?: readonly string[] | undefined;
  /** A name or a number, also `user:group`. */
  readonly user?: string | undefined;
  readonly cwd?: string | undefined;
}

/** A host file or directory, of which each run gets a fresh writable copy: compilers write beside their sources. */
export interface SourceMount {
  readonly source: string;
  readonly target: string;
}

export interface Workload {
  readonly name: string;
  /** What is measured, in one line. */
  readonly title: string;
  readonly image: ImageRecipe | ImportedImage;
  /** Replaces entry point and arguments. undefined: those of the image and of `overrides`. */
  readonly command: readonly string[] | undefined;
  readonly overrides?: RunOverrides;
  /** NAME=value, added to the image's environment. */
  readonly env: readonly string[];
  readonly stdin: string | undefined;
  readonly mounts?: readonly SourceMount[];
  readonly ready: Ready;
  /** Time limit of the run phase. */
  readonly timeoutMs: number;
}

export const categories = ['distro', 'database', 'language', 'web-server', 'web-framework', 'ai', 'other'] as const;
export type Category = (typeof categories)[number];

/** A workload with a folder of its own here. */
export interface CatalogueWorkload extends Workload {
  readonly image: ImageRecipe;
  readonly category: Category;
  /** The image on Docker Hub that its Dockerfile follows, `name:tag`; undefined where there is none. */
  readonly hub: string | undefined;
  /** What `@NAME` selects: its category, and `default` if every run is to measure it. */
  readonly groups: readonly string[];
}

export type Style = 'echo' | 'argument' | 'stdin' | 'line' | 'http' | 'port';

/** HelloBench's name for how a workload is started and awaited; `port` is ours. */
export function styleOf({ ready, stdin, command }: Workload): Style {
  if (ready.kind !== 'exit') return ready.kind;
  if (stdin !== undefined) return 'stdin';
  return command?.[0] === 'echo' ? 'echo' : 'argument';
}
