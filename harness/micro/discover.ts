import { glob } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Bench } from 'tinybench';

/**
 * What a `*.bench.ts` file exports to take part: it adds its tasks to `bench`, and may return (or resolve to) a
 * `Teardown` that undoes its preparation.
 */
export type Register = (bench: Bench) => unknown;
export type Teardown = () => void | Promise<void>;

export interface BenchFile {
  /** Path below the root. */
  readonly path: string;
  readonly register: Register;
}

/** The benchmark files below `root`/snapshotter that export `register`, in the order of their paths. */
export async function discoverBenches(root: string): Promise<BenchFile[]> {
  const paths: string[] = [];
  for await (const path of glob('snapshotter/**/*.bench.ts', { cwd: root })) paths.push(path);
  const files: BenchFile[] = [];
  for (const path of paths.sort()) {
    // The one import by name in the project: rooms bring their benchmarks without being listed here.
    const exported = (await import(pathToFileURL(join(root, path)).href)) as { register?: unknown };
    if (typeof exported.register === 'function') files.push({ path, register: exported.register as Register });
  }
  return files;
}
