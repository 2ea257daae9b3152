import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { unmountUnder } from '../harness/host/mounts.ts';
import { findProcessesNaming, killProcesses } from '../harness/host/processes.ts';
import { type Lifetime, undoAfter } from './lifetime.ts';

/**
 * A new directory, emptied of processes, mounts and files when the lifetime ends: a daemon that left something mounted
 * left a keeper with it. Directly below /tmp and with a short name, because a socket's path has 107 bytes.
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
