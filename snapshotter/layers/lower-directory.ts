import { lstatSync, readlinkSync } from 'node:fs';
import { FormatError } from '../estargz/error.ts';
import { readXattrs } from '../platform/xattrs.ts';
import { type DirectoryAttributes, isCopiedUp, type LowerTree } from '../tree/inheritance.ts';
import { type ResolutionWork, rootPath } from '../tree/root-path.ts';

/** The tree of a layer that containerd unpacked, read from its snapshot's directory. */
export function lowerDirectory(root: string): LowerTree {
  const work: ResolutionWork = { done: 0 };
  const bytesOf = (path: string): Buffer => Buffer.concat([Buffer.from(root), Buffer.from(path, 'latin1')]);
  const readLink = (path: string): string | undefined => {
    const stat = lstat(bytesOf(path));
    return stat?.isSymbolicLink() ? readlinkSync(bytesOf(path), 'latin1') : undefined;
  };
  return {
    directoryAt(path) {
      const bytes = bytesOf(rootPath(path, readLink, work));
      const stat = lstat(bytes);
      if (stat === undefined) return undefined;
      return stat.isDirectory() ? attributesOf(bytes, stat) : 'other';
    },
  };
}

type Stat = NonNullable<ReturnType<typeof lstat>>;

function lstat(path: Buffer) {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENAMETOOLONG')
      throw new FormatError('name', `leads through what the layers below have there: ${code}`);
    throw error;
  }
}

function attributesOf(path: Buffer, stat: Stat): DirectoryAttributes {
  const nanosecondsPerSecond = 1_000_000_000n;
  const mtimeNsec = ((stat.mtimeNs % nanosecondsPerSecond) + nanosecondsPerSecond) % nanosecondsPerSecond;
  return {
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeSec: Number((stat.mtimeNs - mtimeNsec) / nanosecondsPerSecond),
    mtimeNsec: Number(mtimeNsec),
    xattrs: readXattrs(path)
      .filter(({ name }) => isCopiedUp(name))
      .map(({ name, value }) => [name, value.toString('base64')]),
  };
}
