import { createHash } from 'node:crypto';
import { type BigIntStats, closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { readXattrs } from '../../host/xattr.ts';

/** What two mounts of one image must agree on of an entry. Text is Latin-1: a character a byte. */
export interface ListedEntry {
  /** Relative to the listed directory; '' for itself. */
  readonly name: string;
  /** Type and permissions, octal; the name of the errno where a listed name is not found. */
  readonly mode: string;
  readonly owner: string;
  /** Nanoseconds. Not of the root, to which unpacking gives the time of unpacking. */
  readonly mtime?: string;
  readonly size?: string;
  readonly links?: number;
  /** Of several names of one file, the first. */
  readonly sameAs?: string;
  readonly device?: string;
  readonly target?: string;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly sha256?: string;
}

const slash = Buffer.from('/');
const readBuffer = Buffer.allocUnsafe(1 << 20);

/** A mounted tree in byte order of the path; `skip` names entries of its root to leave out. */
export function* listTree(directory: string, skip: readonly string[]): Generator<ListedEntry> {
  const firstNames = new Map<string, string>();
  yield* list(Buffer.from(directory), '');

  function* list(path: Buffer, name: string): Generator<ListedEntry> {
    let stat: BigIntStats;
    try {
      stat = lstatSync(path, { bigint: true });
    } catch (error) {
      // Of a directory with nothing below it overlayfs lists whiteouts as well, and does not find them.
      yield { name, mode: (error as NodeJS.ErrnoException).code ?? String(error), owner: '' };
      return;
    }
    const type = Number(stat.mode) & 0o170000;
    const entry: { -readonly [K in keyof ListedEntry]: ListedEntry[K] } = {
      name,
      mode: (Number(stat.mode) >>> 0).toString(8),
      owner: `${stat.uid}:${stat.gid}`,
    };
    if (name !== '') entry.mtime = stat.mtimeNs.toString();
    // A directory's size and link count are the file system's own business.
    if (type !== 0o040000) {
      entry.size = stat.size.toString();
      entry.links = Number(stat.nlink);
      if (stat.nlink > 1n) {
        const inode = `${stat.dev}:${stat.ino}`;
        entry.sameAs = firstNames.get(inode) ?? name;
        if (!firstNames.has(inode)) firstNames.set(inode, name);
      }
    }
    if (type === 0o020000 || type === 0o060000) entry.device = stat.rdev.toString();
    if (type === 0o120000) entry.target = readlinkSync(path, 'latin1');
    const xattrs = Object.entries(readXattrs(path)).map(([key, value]) => [key, value.toString('hex')]);
    if (xattrs.length > 0) entry.xattrs = Object.fromEntries(xattrs);
    if (type === 0o100000) entry.sha256 = hashFile(path);
    yield entry;
    if (type !== 0o040000) return;
    const children = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare);
    for (const child of children) {
      const childName = child.toString('latin1');
      if (name === '' && skip.includes(childName)) continue;
      yield* list(Buffer.concat([path, slash, child]), name === '' ? childName : `${name}/${childName}`);
    }
  }
}

function hashFile(path: Buffer): string {
  const hash = createHash('sha256');
  const fd = openSync(path, 'r');
  try {
    for (;;) {
      const length = readSync(fd, readBuffer);
      if (length === 0) return hash.digest('hex');
      hash.update(readBuffer.subarray(0, length));
    }
  } finally {
    closeSync(fd);
  }
}
