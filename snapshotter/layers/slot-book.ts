import { closeSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import type { SlotBook, SlotRecord } from './face.ts';

/** A slot book that the next daemon can read, with what else that needs to go on: `facts`, plain data. */
export interface StoredSlotBook<Facts> extends SlotBook {
  readonly facts: Facts;
  /** Called after each change with the record that is new; undefined: one is gone. */
  onChange?: (added: SlotRecord | undefined) => void;
  /** Nothing is mounted any more. */
  remove(): void;
}

/** The first line of the file. */
interface Head {
  readonly version: 2;
  readonly facts: unknown;
  readonly next: number;
}

/** Each line after it; without a slot the layer has none any more. */
interface Change extends Partial<SlotRecord> {
  readonly digest: string;
}

/** How many lines that later ones made stale are put up with. */
const mostStaleLines = 1000;

/** A book for a face whose mounts end with this process. */
export function memorySlotBook(): SlotBook {
  const slots = new Map<string, SlotRecord>();
  let next = 1;
  return {
    slots,
    take: () => next++,
    set: (digest, record) => void slots.set(digest, record),
    delete: (digest) => void slots.delete(digest),
  };
}

/** The book in `file`, as an earlier daemon left it; undefined where there is none that can be read. */
export function readSlotBook<Facts>(file: string): StoredSlotBook<Facts> | undefined {
  try {
    const [first, ...rest] = readFileSync(file, 'utf8').split('\n');
    const head = JSON.parse(first!) as Head;
    if (head.version !== 2) return undefined;
    const slots = new Map<string, SlotRecord>();
    let { next } = head;
    // What stands behind the last line's end was being written when that daemon died.
    for (const line of rest.slice(0, -1)) {
      const { digest, slot, superblocks } = JSON.parse(line) as Change;
      if (slot === undefined) slots.delete(digest);
      else {
        slots.set(digest, superblocks === undefined ? { slot } : { slot, superblocks });
        next = Math.max(next, slot + 1);
      }
    }
    return openSlotBook(file, head.facts as Facts, next, slots);
  } catch {
    return undefined;
  }
}

/**
 * A book that writes each change behind the others, one line before `set` or `delete` returns. Not synced: mounts outlive
 * no power loss either.
 */
export function openSlotBook<Facts>(
  file: string,
  facts: Facts,
  next = 1,
  slots = new Map<string, SlotRecord>(),
): StoredSlotBook<Facts> {
  let unused = next;
  let lines = 0;
  let fd = rewrite();

  function rewrite(): number {
    const head: Head = { version: 2, facts, next: unused };
    const text = [head, ...[...slots].map(([digest, record]) => ({ digest, ...record }))].map(lineOf).join('');
    const written = openSync(`${file}.new`, 'w', 0o600);
    writeSync(written, text);
    renameSync(`${file}.new`, file);
    lines = slots.size;
    return written;
  }

  function note(change: Change): void {
    if (lines++ < slots.size + mostStaleLines) writeSync(fd, lineOf(change));
    else {
      closeSync(fd);
      fd = rewrite();
    }
  }

  return {
    facts,
    slots,
    take: () => unused++,
    set(digest, record) {
      slots.set(digest, record);
      note({ digest, ...record });
      this.onChange?.(record);
    },
    delete(digest) {
      slots.delete(digest);
      note({ digest });
      this.onChange?.(undefined);
    },
    remove() {
      closeSync(fd);
      rmSync(file, { force: true });
    },
  };
}

function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
