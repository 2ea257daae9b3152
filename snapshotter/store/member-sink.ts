import { type ChunkTarget, isCollected, mostCollectedBytes, storeMember } from './member-reader.ts';
import { MemberStream } from './member-stream.ts';

/** Takes the bytes of one member in order, and stores its chunks. */
export interface MemberSink {
  /** True while the bytes are in use: call `more`. */
  write(bytes: Buffer): boolean;
  more(): boolean;
  /** Call after the last byte. Throws StoreError 'corrupt' or 'disk'. */
  finish(): void;
  close(): void;
}

export function openSink(target: ChunkTarget, member: number): MemberSink {
  return isCollected(target, member) ? collectingSink(target, member) : new MemberStream(target, member);
}

/** For reuse: they are as large as a member's bytes may be, and garbage outside V8's heap is collected late. */
const idle: Buffer[] = [];
const maxIdle = 4;

/** A buffer passed to `write` is valid during the call only. A member within one buffer is not copied. */
function collectingSink(target: ChunkTarget, member: number): MemberSink {
  const sizeBytes = target.table.memberEnd[member]! - target.table.memberOffset[member]!;
  let collected: Buffer | undefined;
  let whole: Buffer | undefined;
  let filled = 0;
  const close = (): void => {
    if (collected !== undefined && idle.length < maxIdle) idle.push(collected);
    collected = undefined;
  };
  return {
    write(bytes) {
      if (bytes.length === sizeBytes) whole = bytes;
      else {
        collected ??= idle.pop() ?? Buffer.allocUnsafeSlow(mostCollectedBytes);
        filled += bytes.copy(collected, filled);
      }
      return false;
    },
    more: () => false,
    finish() {
      try {
        storeMember(target, member, whole ?? collected!.subarray(0, sizeBytes));
      } finally {
        close();
      }
    },
    close,
  };
}
