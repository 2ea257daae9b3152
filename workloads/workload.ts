/** How a workload shows that it is ready. A container that ends before it is ready has failed. */
export type Ready =
  /** The process exits with status 0 and its whole standard output is `stdout`. */
  | { readonly kind: 'exit'; readonly stdout: string }
  /** A line of its output (either stream) matches `pattern`, for the `occurrence`-th time (default 1). */
  | { readonly kind: 'line'; readonly pattern: RegExp; readonly occurrence?: number };

/** An image that is built here. Its directory holds the Dockerfile and what that copies. */
export interface ImageRecipe {
  readonly name: string;
  readonly directory: string;
  /** The image it stands on, handed to the Dockerfile as the build argument BASE; none for the Debian base itself. */
  readonly parent: ImageRecipe | undefined;
}

export interface Workload {
  readonly name: string;
  /** What is measured, in one line. */
  readonly title: string;
  readonly image: ImageRecipe;
  /** undefined: the image's own entry point and command. */
  readonly command: readonly string[] | undefined;
  /** NAME=value, added to the image's own. */
  readonly env: readonly string[];
  readonly stdin: string | undefined;
  readonly ready: Ready;
  /** Limit of the run phase. */
  readonly timeoutMs: number;
}
