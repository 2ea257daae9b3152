import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Young generation of 2 MiB instead of 16, fewer helper threads: measured in docs/snapshotter.md. */
const nodeOptions = ['--max-semi-space-size=2', '--v8-pool-size=1'];

const mark = 'STARGZ_RELAUNCHED';

/**
 * Becomes the same program again under the options that keep it small: stripping types takes a WebAssembly compiler of
 * 17 MB, which a compile cache on disk makes unnecessary from the second start on, and two arenas stop malloc from
 * spreading over threads. The process stays the same (execve), so does its pid.
 */
export function relaunchSmall(root: string): void {
  if (process.env[mark] !== undefined || process.execve === undefined) return;
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const env = {
    NODE_COMPILE_CACHE: join(cacheParent(root), 'compile-cache'),
    MALLOC_ARENA_MAX: '2',
    ...process.env,
    [mark]: '1',
  };
  const [node, main, ...args] = process.argv as [string, string, ...string[]];
  process.execve(node, [node, ...nodeOptions, ...process.execArgv, main, ...args], env);
}

/** Beside the code, where every root profits from it, if that can be written to. */
function cacheParent(root: string): string {
  const beside = join(import.meta.dirname, '../node_modules');
  try {
    accessSync(beside, constants.W_OK);
    return join(beside, '.cache/stargz-snapshotter');
  } catch {
    return root;
  }
}
