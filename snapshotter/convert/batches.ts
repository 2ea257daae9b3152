/** Groups members into batches, many small ones or one large one, so that messages to the threads cost little. */
import type { Member } from './members.ts';

/** A batch exceeds this size only if a single member does. */
const batchSizeBytes = 1 << 20;

export const maxMembersPerBatch = 512;

export function* gatherBatches(members: Iterable<Member>): Generator<Member[], void, void> {
  let batch: Member[] = [];
  let sizeBytes = 0;
  for (const member of members) {
    if (batch.length === maxMembersPerBatch || (batch.length > 0 && sizeBytes + member.sizeBytes > batchSizeBytes)) {
      yield batch;
      batch = [];
      sizeBytes = 0;
    }
    batch.push(member);
    sizeBytes += member.sizeBytes;
  }
  if (batch.length > 0) yield batch;
}
