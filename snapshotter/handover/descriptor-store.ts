import { closeSync } from 'node:fs';
import type { HeldDescriptors } from './keeper/keeper.ts';
import type { Log } from '../platform/log.ts';
import type { DescriptorStoreStatus } from '../api/status.ts';
import { dropDescriptor, inheritedDescriptors, notifySocket, storeDescriptor } from '../process/systemd.ts';

/*
 * Under systemd, PID 1 holds the same descriptors as the keeper, so that readers wait even when the daemon and its
 * keeper both died. Without systemd all of this does nothing.
 */
const names = { fuseFd: 'fuse-connection', groupFd: 'fanotify-group' } as const;
const kinds = Object.keys(names) as (keyof typeof names)[];

/** What an earlier daemon stored, once: the second call finds nothing. */
export function takeStored(): HeldDescriptors | undefined {
  const inherited = inheritedDescriptors();
  // Child processes must not take them for theirs.
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete process.env[name];
  const held: { -readonly [kind in keyof HeldDescriptors]: number } = {};
  for (const { name, fd } of inherited) {
    const kind = kinds.find((candidate) => names[candidate] === name);
    if (kind === undefined || held[kind] !== undefined) closeSync(fd);
    else held[kind] = fd;
  }
  return Object.keys(held).length === 0 ? undefined : held;
}

/** Replaces the store's content. Call it before holes can be read. On failure the keeper is the only other holder. */
export function storeHeld(held: HeldDescriptors, log: Log): DescriptorStoreStatus {
  if (notifySocket() === '') return 'none';
  emptyStore();
  const isSent = kinds.every((kind) => held[kind] === undefined || storeDescriptor(names[kind], held[kind]));
  if (isSent) return 'sent';
  log.warn({ socket: notifySocket() }, "systemd's descriptor store cannot be reached");
  return 'unreachable';
}

/** For when nothing is mounted any more, or what is held cannot be taken over. */
export function emptyStore(): void {
  for (const kind of kinds) dropDescriptor(names[kind]);
}

export function closeHeld(held: HeldDescriptors): void {
  for (const kind of kinds) if (held[kind] !== undefined) closeSync(held[kind]);
}
