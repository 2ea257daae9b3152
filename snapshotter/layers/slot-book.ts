import { closeSync, ftruncateSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { sealJson, unsealJson } from '../platform/sealed-json.ts';

/** A view's slot, for the next daemon. */
export interface SlotRecord {
  readonly slot: number;
  /** EROFS: the superblocks that may read the layer's data. */
  readonly superblocks?: readonly string[];
}

/** Slots by view. Changes are stored before the method returns; if that fails, `set` throws and changes nothing. */
export interface SlotBook {
  readonly slots: ReadonlyMap<string, SlotRecord>;
  /** Returns an unused slot; throws RangeError after the last. */
  take(): number;
  set(digest: string, record: SlotRecord): void;
  delete(digest: string): void;
}

/** A slot book on disk for the next daemon, with the `facts` (plain data) that it needs besides. */
export interface StoredSlotBook<Facts> extends SlotBook {
  readonly facts: Facts;
  /** Called after each change, with the new record, or undefined after a deletion. */
  onChange?: (added: SlotRecord | undefined) => void;
  /** Deletes the file, once nothing is mounted. */
  remove(): void;
}

/** First line of the file. Lines of version 2 have no checksum. */
interface Head {
  readonly version: 2 | 3;
  readonly facts: unknown;
  readonly next: number;
}

/** A line after it; without a slot it is a deletion. */
interface Change extends Partial<SlotRecord> {
  readonly digest: string;
}

/** The last slot that a FUSE node id has room for. */
export const MAX_SLOT = 2 ** 32 - 1;

/** Stale lines tolerated before compaction. */
const maxStaleLines = 1000;

/** A book in memory, for views that end with this process. Its slots are those of `recorded`, if they share a server. */
export function memorySlotBook(recorded?: SlotBook): SlotBook {
  const slots = new Map<string, SlotRecord>();
  let next = 1;
  return {
    slots,
    take: () => recorded?.take() ?? next++,
    set: (digest, record) => void slots.set(digest, record),
    delete: (digest) => void slots.delete(digest),
  };
}

/**
 * Reads an earlier daemon's book from `file`; undefined if there is none or it is damaged. Needs no disk space, so that a full
 * disk does not cost the mounts.
 */
export function readSlotBook<Facts>(file: string): StoredSlotBook<Facts> | undefined {
  try {
    const bytes = readFileSync(file);
    // Behind the last newline is a line that was being written when the daemon died.
    const endBytes = bytes.lastIndexOf('\n') + 1;
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, endBytes));
    const [first, ...rest] = text.split('\n').slice(0, -1);
    const { version, facts, next: nextAtHead } = parseHead(first!);
    const slots = new Map<string, SlotRecord>();
    let next = nextAtHead;
    for (const line of rest) {
      const { digest, slot, superblocks } = parseChange(line, version);
      if (slot === undefined) slots.delete(digest);
      else {
        slots.set(digest, superblocks === undefined ? { slot } : { slot, superblocks });
        next = Math.max(next, slot + 1);
      }
    }
    if (new Set([...slots.values()].map(({ slot }) => slot)).size !== slots.size) return undefined;
    return writeBook(file, facts as Facts, next, slots, {
      fd: openSync(file, 'r+'),
      endBytes,
      lines: rest.length,
    });
  } catch {
    return undefined;
  }
}

/**
 * Creates a book that appends each change as a line before `set` or `delete` returns. Not synced, since no mount survives a
 * power loss.
 */
export function openSlotBook<Facts>(file: string, facts: Facts, next = 1): StoredSlotBook<Facts> {
  return writeBook(file, facts, next, new Map(), undefined);
}

interface BookFile {
  readonly fd: number;
  /** Offset of the next line. */
  endBytes: number;
  /** Lines after the head. */
  lines: number;
}

function writeBook<Facts>(
  file: string,
  facts: Facts,
  next: number,
  slots: Map<string, SlotRecord>,
  found: BookFile | undefined,
): StoredSlotBook<Facts> {
  let unused = next;
  let current = found ?? rewrite();
  /** The file lacks a change. */
  let isBehind = false;

  function rewrite(): BookFile {
    const head: Head = { version: 3, facts, next: unused };
    const text = [head, ...[...slots].map(([digest, record]) => ({ digest, ...record }))].map(lineOf).join('');
    const fd = openSync(`${file}.new`, 'w', 0o600);
    try {
      const endBytes = append(fd, text, 0);
      renameSync(`${file}.new`, file);
      return { fd, endBytes, lines: slots.size };
    } catch (error) {
      closeSync(fd);
      rmSync(`${file}.new`, { force: true });
      throw error;
    }
  }

  function note(change: Change): void {
    if (isBehind || current.lines >= slots.size + maxStaleLines) {
      try {
        const stale = current.fd;
        current = rewrite();
        closeSync(stale);
        isBehind = false;
        return;
      } catch {
        // No space for a new file; there may be for a line.
      }
    }
    try {
      current.endBytes = append(current.fd, lineOf(change), current.endBytes);
      current.lines++;
    } catch (error) {
      isBehind = true;
      ftruncateSync(current.fd, current.endBytes);
      throw error;
    }
  }

  return {
    facts,
    slots,
    take() {
      if (unused > MAX_SLOT) throw new RangeError('the slots of this face are used up; restart the node');
      return unused++;
    },
    set(digest, record) {
      const before = slots.get(digest);
      slots.set(digest, record);
      try {
        note({ digest, ...record });
      } catch (error) {
        if (before === undefined) slots.delete(digest);
        else slots.set(digest, before);
        throw error;
      }
      this.onChange?.(record);
    },
    delete(digest) {
      slots.delete(digest);
      try {
        note({ digest });
      } catch {
        // Deleted all the same; a daemon that reads the stale line finds nothing mounted.
      }
      this.onChange?.(undefined);
    },
    remove() {
      closeSync(current.fd);
      rmSync(file, { force: true });
    },
  };
}

/** Returns the new end. Continues short writes; throws if the disk is full. */
function append(fd: number, text: string, at: number): number {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, at + done);
  return at + bytes.length;
}

function lineOf(value: object): string {
  return `${sealJson(value)}\n`;
}

/** With a checksum: under a wrong slot a layer would show its files to another layer's containers. */
function parseHead(line: string): Head {
  const head = (line.includes('\t') ? unsealJson(line) : JSON.parse(line)) as Head;
  const isSealed = line.includes('\t');
  if (head.version !== (isSealed ? 3 : 2) || !isSlot(head.next, MAX_SLOT + 1))
    throw new Error('not the head of a slot book');
  return head;
}

function parseChange(line: string, version: Head['version']): Change {
  const isPlain = version === 2 && !line.includes('\t');
  const change = (isPlain ? JSON.parse(line) : unsealJson(line)) as Change;
  const { digest, slot, superblocks } = change;
  const isValid =
    typeof digest === 'string' &&
    (slot === undefined || isSlot(slot)) &&
    (superblocks === undefined ||
      (Array.isArray(superblocks) && superblocks.every((superblock) => typeof superblock === 'string')));
  if (!isValid) throw new Error('not a line of a slot book');
  return change;
}

function isSlot(value: unknown, max = MAX_SLOT): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= max;
}
