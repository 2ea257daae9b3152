/**
 * Lists a mounted tree, one JSON line an entry, in byte order of the path: what two mounts of one image must agree on.
 * A program of its own, because whoever serves a mount must not walk it.
 *
 *     node harness/programs/equality/listing.ts DIR [--skip NAME]...      NAME: an entry of the root to leave out
 */
import { createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { listXattrs } from './xattr.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { skip: { type: 'string', multiple: true, default: [] } },
});
const root = positionals[0];
if (root === undefined) throw new Error('listing: name the directory to list');

const slash = Buffer.from('/');
const readBuffer = Buffer.allocUnsafe(1 << 20);
const firstNames = new Map<bigint, string>();
let lines: string[] = [];
list(Buffer.from(root), '');
flush();

function list(path: Buffer, name: string): void {
  const stat = lstatSync(path, { bigint: true });
  const type = Number(stat.mode) & 0o170000;
  const entry: Record<string, unknown> = {
    name,
    mode: (Number(stat.mode) >>> 0).toString(8),
    owner: `${stat.uid}:${stat.gid}`,
  };
  // Whoever unpacks leaves the root with the time of unpacking.
  if (name !== '') entry.mtime = stat.mtimeNs.toString();
  // A directory's size and link count are the file system's own business.
  if (type !== 0o040000) {
    entry.size = stat.size.toString();
    entry.links = Number(stat.nlink);
    if (stat.nlink > 1n) {
      entry.sameAs = firstNames.get(stat.ino) ?? name;
      if (!firstNames.has(stat.ino)) firstNames.set(stat.ino, name);
    }
  }
  if (type === 0o020000 || type === 0o060000) entry.device = stat.rdev.toString();
  if (type === 0o120000) entry.target = readlinkSync(path, 'latin1');
  else {
    const xattrs = listXattrs(path);
    if (Object.keys(xattrs).length > 0) entry.xattrs = xattrs;
  }
  if (type === 0o100000) entry.sha256 = hashFile(path);
  lines.push(JSON.stringify(entry));
  if (lines.length > 500) flush();
  if (type !== 0o040000) return;
  const children = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare);
  for (const child of children) {
    const childName = child.toString('latin1');
    if (name === '' && values.skip.includes(childName)) continue;
    list(Buffer.concat([path, slash, child]), name === '' ? childName : `${name}/${childName}`);
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

function flush(): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  lines = [];
}
