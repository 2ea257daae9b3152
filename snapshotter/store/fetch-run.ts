import type { BlobSource } from '../registry/blob.ts';
import { StoreError } from './error.ts';
import type { LayerInflater } from './inflate-pool.ts';
import { openMemberDispatch, type MemberOwner } from './member-dispatch.ts';
import type { ChunkTarget } from './member-reader.ts';

export interface RunProgress extends MemberOwner {
  /** Number of members that it owns. */
  owned(): number;
  /** Compressed bytes arrived. May delay its answer, as backpressure. */
  received(sizeBytes: number): Promise<void> | undefined;
}

/** Ending a response early costs its connection; below this, reading the rest is cheaper than a new one. */
const leastAbortedBytes = 256 * 1024;

/**
 * One ranged GET over members [first, last]: each is inflated, verified and stored as soon as its last byte is here, on
 * an inflating thread unless it is small and a reader waits for it. A refused member does not stop the others. Rejects
 * when the transfer or the disk fails. Settles when the data file is no longer in use.
 */
export async function streamMembers(
  target: ChunkTarget,
  inflater: LayerInflater,
  source: BlobSource,
  first: number,
  last: number,
  progress: RunProgress,
  signal: AbortSignal,
): Promise<void> {
  const { table } = target;
  const end = table.memberEnd[last]!;
  let position = table.memberOffset[first]!;
  let member = first;
  const members = openMemberDispatch(target, inflater, progress, signal);
  /** The server of the current response, and the servers of the current member's bytes. */
  let server: string | undefined;
  let servers = new Set<string>();
  const onServer = (name: string): void => {
    server = name;
    servers.add(name);
  };
  try {
    for await (const bytes of source.fetchRange(position, end, signal, onServer)) {
      const held = progress.received(bytes.length);
      if (held !== undefined) await held;
      let at = 0;
      while (at < bytes.length && member <= last) {
        const memberOffset = table.memberOffset[member]!;
        const memberEnd = table.memberEnd[member]!;
        if (position < memberOffset) {
          const skipped = Math.min(memberOffset - position, bytes.length - at);
          at += skipped;
          position += skipped;
          continue;
        }
        const size = Math.min(memberEnd - position, bytes.length - at);
        const isLast = position + size === memberEnd;
        await members.write(member, bytes.subarray(at, at + size), {
          isFirst: position === memberOffset,
          isLast,
          servers,
        });
        at += size;
        position += size;
        if (!isLast) continue;
        servers = new Set(server === undefined ? [] : [server]);
        if (end - position > leastAbortedBytes && members.unsettled() === progress.owned())
          return await members.drain();
        member++;
      }
      members.flush();
    }
    await members.drain();
  } catch (error) {
    // What has arrived is stored all the same.
    if (!signal.aborted) await members.drain();
    throw error;
  } finally {
    await members.close();
  }
  if (member <= last) {
    throw new StoreError('fetch', target.subject, `the registry sent ${position} of ${end} bytes and then nothing`);
  }
}
