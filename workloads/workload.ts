/** How to tell that a workload is ready. A container that exits before then has failed. */
export type Ready =
  /** The process exits with status 0 and its whole standard output is `stdout`. */
  | { readonly kind: 'exit'; readonly stdout: string }
  /** A line of its output (either stream) matches `pattern`, for the `occurrence`-th time (default 1). */
  | { readonly kind: 'line'; readonly pattern: RegExp; readonly occurrence?: number };

/** An image built by the benchmark. The directory is the Dockerfile's build context. */
export interface ImageRecipe {
  readonly name: string;
  readonly directory: string;
  /** Its base image, passed to the Dockerfile as the build argument BASE; undefined for Debian itself. */
  readonly parent: ImageRecipe | undefined;
}

export interface Workload {
  readonly name: string;
  /** What is measured, in one line. */
  readonly title: string;
  readonly image: ImageRecipe;
  /** undefined: the image's own entry point and command. */
  readonly command: readonly string[] | undefined;
  /** NAME=value, added to the image's environment. */
  readonly env: readonly string[];
  readonly stdin: string | undefined;
  readonly ready: Ready;
  /** Time limit of the run phase. */
  readonly timeoutMs: number;
}
