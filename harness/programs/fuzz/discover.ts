import { glob } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { FuzzTarget } from '../../../testkit/fuzz-target.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export interface FoundTarget {
  /** Path relative to the repository. */
  readonly file: string;
  readonly target: FuzzTarget;
}

/** The targets of all `snapshotter/**` fuzz files, sorted by name. */
export async function discoverTargets(): Promise<FoundTarget[]> {
  const files: string[] = [];
  for await (const file of glob('snapshotter/**/*.fuzz.ts', { cwd: root })) files.push(file);
  const found: FoundTarget[] = [];
  for (const file of files.sort()) {
    // Dynamic, so that a new fuzz file need not be listed here.
    const { targets } = (await import(pathToFileURL(join(root, file)).href)) as { targets: readonly FuzzTarget[] };
    found.push(...targets.map((target) => ({ file, target })));
  }
  return found.sort((a, b) => (a.target.name < b.target.name ? -1 : 1));
}
