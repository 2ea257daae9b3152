import { closeSync, ftruncateSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { sealJson, unsealJson } from '../platform/sealed-json.ts';

/** What a face was, for the next daemon to go on with. */
export interface SlotRecord {
  readonly slot: number;
  /** EROFS: which superblocks may read the layer's data. */
  readonly superblocks?: readonly string[];
}

/** Slots by digest. A change is stored before the method returns; `set` throws, and changes nothing, where it cannot be. */
export interface SlotBook {
  readonly slots: ReadonlyMap<string, SlotRecord>;
  /** A slot that was never used. */
  take(): number;
  set(digest: string, record: SlotRecord): void;
  delete(digest: string): void;
}

/** A slot book that the next daemon can read, with what else that needs to go on: `facts`, plain data. */
export interface StoredSlotBook<Facts> extends SlotBook {
  readonly facts: Facts;
  /** Called after each change with the record that is new; undefined: one is gone. */
  onChange?: (added: SlotRecord | undefined) => void;
  /** Nothing is mounted any more. */
  remove(): void;
}

/** The first line of the file. Version 2 had lines without a checksum. */
interface Head {
  readonly version: 2 | 3;
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

/**
 * The book in `file`, as an earlier daemon left it; undefined where there is none that can be read. Takes no room on the
 * disk: a full one must not cost the mounts.
 */
export function readSlotBook<Facts>(file: string): StoredSlotBook<Facts> | undefined {
  try {
    const text = readFileSync(file, 'utf8');
    const [first, ...rest] = text.split('\n');
    const { version, facts, next: nextAtHead } = parseHead(first!);
    const slots = new Map<string, SlotRecord>();
    let next = nextAtHead;
    // What stands behind the last line's end was being written when that daemon died.
    const torn = rest.pop()!;
    for (const line of rest) {
      const { digest, slot, superblocks } = parseChange(line, version);
      if (slot === undefined) slots.delete(digest);
      else {
        slots.set(digest, superblocks === undefined ? { slot } : { slot, superblocks });
        next = Math.max(next, slot + 1);
      }
    }
    if (new Set([...slots.values()].map(({ slot }) => slot)).size !== slots.size) return undefined;
    const endBytes = Buffer.byteLength(text) - Buffer.byteLength(torn);
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
 * A new book that writes each change behind the others, one line before `set` or `delete` returns. Not synced: mounts
 * outlive no power loss either.
 */
export function openSlotBook<Facts>(file: string, facts: Facts, next = 1): StoredSlotBook<Facts> {
  return writeBook(file, facts, next, new Map(), undefined);
}

interface BookFile {
  readonly fd: number;
  /** Where the next line goes. */
  endBytes: number;
  /** After the head. */
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
  /** Something could not be written. */
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
    if (isBehind || current.lines >= slots.size + mostStaleLines) {
      try {
        const stale = current.fd;
        current = rewrite();
        closeSync(stale);
        isBehind = false;
        return;
      } catch {
        // No room for another file: for a line there may be.
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
    take: () => unused++,
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
        // It is gone all the same. A daemon that reads of it finds nothing there.
      }
      this.onChange?.(undefined);
    },
    remove() {
      closeSync(current.fd);
      rmSync(file, { force: true });
    },
  };
}

/** Returns where it ends. A short write goes on where it stopped, and fails there if the disk is full. */
function append(fd: number, text: string, at: number): number {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, at + done);
  return at + bytes.length;
}

function lineOf(value: object): string {
  return `${sealJson(value)}\n`;
}

/** Damage must not go unnoticed: under another's slot a layer would show its files to that one's containers. */
function parseHead(line: string): Head {
  const head = (line.includes('\t') ? unsealJson(line) : JSON.parse(line)) as Head;
  const isSealed = line.includes('\t');
  if (head.version !== (isSealed ? 3 : 2) || !isSlot(head.next)) throw new Error('not the head of a slot book');
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

function isSlot(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 2 ** 32;
}
