/**
 * Mounts and lists trees for who started it (`startLister`), one after another: a process of its own, because a walk waits
 * in the kernel for the daemon, which must not stop whoever serves the registry.
 */

import { unmountFilesystem } from '../../../snapshotter/platform/syscalls.ts';
import { listTree } from '../equality/tree.ts';
import type { ListReply, ListRequest } from './lister.ts';
import { mountSnapshot } from './mount.ts';

process.on('message', async (request: ListRequest) => process.send!(await reply(request)));
process.on('disconnect', () => process.exit());

async function reply({ mount, target, skip }: ListRequest): Promise<ListReply> {
  try {
    await mountSnapshot(mount, target);
    try {
      return { entries: [...listTree(target, skip)] };
    } finally {
      await unmountFilesystem(target);
    }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
