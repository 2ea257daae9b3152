import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { unmountUnder } from '../harness/host/mounts.ts';
import { findProcessesNaming, killProcesses } from '../harness/host/processes.ts';
import { type Lifetime, undoAfter } from './lifetime.ts';

/**
 * Creates a directory. When the lifetime ends, processes that name it (such as a keeper that a daemon left), mounts below it
 * and its files are removed. It lies directly below /tmp with a short name, because a socket's path is limited to 107 bytes.
 */
export function openScratch(lifetime: Lifetime, name: string): string {
  const directory = mkdtempSync(join('/tmp', `${name}-`));
  undoAfter(lifetime, async () => {
    await killProcesses(await findProcessesNaming(directory));
    await unmountUnder(directory);
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}
