import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nodeEnvironment, nodeOptions } from './node-options.ts';

const mark = 'STARGZ_RELAUNCHED';

/**
 * Re-executes the program (execve(2), so the pid stays) under options that keep it small. Stripping types loads a
 * WebAssembly compiler of 17 MB, which a compile cache on disk makes unnecessary from the second start on.
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

/** Node sets FD_CLOEXEC on descriptors that it inherits; so does the Node that follows. */
async function keepInherited(): Promise<void> {
  const [{ inheritedDescriptors }, { keepOverExec }] = await Promise.all([
    import('./systemd.ts'),
    import('../platform/syscalls.ts'),
  ]);
  for (const { fd } of inheritedDescriptors()) keepOverExec(fd);
}

/** Beside the code, so that all roots share it, if that can be written to. */
function cacheParent(root: string): string {
  const beside = join(import.meta.dirname, '../../node_modules');
  try {
    accessSync(beside, constants.W_OK);
    return join(beside, '.cache/stargz-snapshotter');
  } catch {
    return root;
  }
}
