import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nodeEnvironment, nodeOptions } from './node-options.ts';

const mark = 'STARGZ_RELAUNCHED';

/**
 * Becomes the same program again under the options that keep it small: stripping types takes a WebAssembly compiler of
 * 17 MB, which a compile cache on disk makes unnecessary from the second start on, and two arenas stop malloc from
 * spreading over threads. The process stays the same (execve), so does its pid.
 */
export async function relaunchSmall(root: string): Promise<void> {
  if (process.env[mark] !== undefined || process.execve === undefined) return;
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const env = {
    NODE_COMPILE_CACHE: join(cacheParent(root), 'compile-cache'),
    ...nodeEnvironment,
    ...process.env,
    [mark]: '1',
  };
  if (process.env.LISTEN_FDS !== undefined) await keepInherited();
  const [node, main, ...args] = process.argv as [string, string, ...string[]];
  process.execve(node, [node, ...nodeOptions, ...process.execArgv, main, ...args], env);
}

/** Node marks whatever it is started with to be closed by execve; the next one marks it again. */
async function keepInherited(): Promise<void> {
  const [{ inheritedDescriptors }, { keepOverExec }] = await Promise.all([
    import('./systemd.ts'),
    import('../platform/syscalls.ts'),
  ]);
  for (const { fd } of inheritedDescriptors()) keepOverExec(fd);
}

/** Beside the code, where every root profits from it, if that can be written to. */
function cacheParent(root: string): string {
  const beside = join(import.meta.dirname, '../../node_modules');
  try {
    accessSync(beside, constants.W_OK);
    return join(beside, '.cache/stargz-snapshotter');
  } catch {
    return root;
  }
}
