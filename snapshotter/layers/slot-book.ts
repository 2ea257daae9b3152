import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { SlotBook, SlotRecord } from './face.ts';

/** A slot book that the next daemon can read, with what else that needs to go on: `facts`, plain data. */
export interface StoredSlotBook<Facts> extends SlotBook {
  readonly facts: Facts;
  /** Called after each save. */
  onSave?: () => void;
  /** Nothing is mounted any more. */
  remove(): void;
}

interface Stored {
  readonly version: 1;
  readonly facts: unknown;
  readonly next: number;
  readonly slots: readonly (readonly [string, SlotRecord])[];
}

/** The book in `file`, as an earlier daemon left it; undefined where there is none that can be read. */
export function readSlotBook<Facts>(file: string): StoredSlotBook<Facts> | undefined {
  try {
    const stored = JSON.parse(readFileSync(file, 'utf8')) as Stored;
    if (stored.version !== 1) return undefined;
    return openSlotBook(file, stored.facts as Facts, stored.next, new Map(stored.slots));
  } catch {
    return undefined;
  }
}

/** Saved before a slot is used. Not synced: mounts outlive no power loss either. */
export function openSlotBook<Facts>(
  file: string,
  facts: Facts,
  next = 1,
  slots = new Map<string, SlotRecord>(),
): StoredSlotBook<Facts> {
  return {
    facts,
    next,
    slots,
    save() {
      const stored: Stored = { version: 1, facts, next: this.next, slots: [...slots] };
      writeFileSync(`${file}.new`, JSON.stringify(stored), { mode: 0o600 });
      renameSync(`${file}.new`, file);
      this.onSave?.();
    },
    remove: () => rmSync(file, { force: true }),
  };
}
