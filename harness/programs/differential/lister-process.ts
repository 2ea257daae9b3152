/**
 * Mounts and lists trees for who started it (`startLister`), one after another: a process of its own, because a walk waits
 * in the kernel for the daemon, which must not stop whoever serves the registry.
 */
import { listTree } from '../equality/tree.ts';
import type { ListReply, ListRequest } from './lister.ts';
import { mountSnapshot, unmountSnapshot } from './mount.ts';

process.on('message', (request: ListRequest) => process.send!(reply(request)));
process.on('disconnect', () => process.exit());

function reply({ mount, target, skip }: ListRequest): ListReply {
  try {
    mountSnapshot(mount, target);
    try {
      return { entries: [...listTree(target, skip)] };
    } finally {
      unmountSnapshot(target);
    }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
