import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Bench } from 'tinybench';

/**
 * Exported by a `*.bench.ts` file that takes part. It adds its tasks to `bench`, and may return (or resolve to) a `Teardown`
 * that undoes its setup.
 */
export type Register = (bench: Bench) => unknown;
export type Teardown = () => void | Promise<void>;

export interface BenchFile {
  /** Path below the root. */
  readonly path: string;
  readonly register: Register;
}

/** The benchmark files below `root`/snapshotter that export `register`, sorted by path. */
export async function discoverBenches(root: string): Promise<BenchFile[]> {
  const paths: string[] = [];
  for await (const path of glob('snapshotter/**/*.bench.ts', { cwd: root })) paths.push(path);
  const files: BenchFile[] = [];
  for (const path of paths.sort()) {
    // A benchmark that is a script would run on import, so only files with this export are loaded.
    if (!exportsRegister.test(await readFile(join(root, path), 'utf8'))) continue;
    // The only import by a computed name in the project: rooms add benchmarks without a list.
    const exported = (await import(pathToFileURL(join(root, path)).href)) as { register: Register };
    files.push({ path, register: exported.register });
  }
  return files;
}

const exportsRegister = /^export (?:async )?(?:function|const) register\b/m;
