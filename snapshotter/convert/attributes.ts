/** The attributes of a file after containerd has unpacked it, as far as a tar can set them. */
import { accessAcl, defaultAcl, fitAcls } from './posix-acl.ts';
import type { TarEntry } from '../tar/tar.ts';
import type { TarTime } from '../tar/tar-fields.ts';

export type Attributes = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'userName' | 'groupName' | 'mtime' | 'xattrs'>;

/**
 * A directory without an entry (containerd's mkparent). containerd takes its mtime from the clock; 0 keeps the output
 * reproducible.
 */
export const defaultDirectory: Attributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  userName: '',
  groupName: '',
  mtime: { sec: 0, nsec: 0 },
  xattrs: undefined,
};

/**
 * The attributes after `entry` is applied to a file with the attributes `before`: a new file, a directory listed again, or
 * the target of a hard link. In containerd's order: chown, xattrs, chmod, times.
 */
export function applyAttributes(before: Attributes, entry: TarEntry, type: TarEntry['type']): Attributes {
  return {
    mode: entry.mode,
    uid: entry.uid === unchangedId ? before.uid : entry.uid,
    gid: entry.gid === unchangedId ? before.gid : entry.gid,
    userName: entry.userName,
    groupName: entry.groupName,
    mtime: boundTime(entry.mtime),
    xattrs: fitAcls(mergeXattrs(keepAtChown(before.xattrs, type), effectiveXattrs(entry.xattrs, type)), entry.mode),
  };
}

/** Where both have an xattr, that of `upper` wins. */
export function mergeXattrs(lower: Attributes['xattrs'], upper: Attributes['xattrs']): Attributes['xattrs'] {
  if (lower === undefined || upper === undefined) return lower ?? upper;
  return new Map([...lower, ...upper]);
}

/** Ignores owner names: containerd unpacks by numeric id. */
export function haveEqualAttributes(one: Attributes, other: Attributes): boolean {
  return (
    one.mode === other.mode &&
    one.uid === other.uid &&
    one.gid === other.gid &&
    one.mtime.sec === other.mtime.sec &&
    one.mtime.nsec === other.mtime.nsec &&
    haveEqualXattrs(one.xattrs, other.xattrs)
  );
}

function haveEqualXattrs(one: Attributes['xattrs'], other: Attributes['xattrs']): boolean {
  if ((one?.size ?? 0) !== (other?.size ?? 0)) return false;
  for (const [name, value] of one ?? []) if (other?.get(name) !== value) return false;
  return true;
}

/** chown(2): -1 changes nothing. */
const unchangedId = 0xffff_ffff;

/** containerd's bounds: from 1970 to the last nanosecond of an int64; any other time becomes 1970. */
function boundTime(time: TarTime): TarTime {
  const { sec, nsec } = time;
  const isLate = sec > 9_223_372_036 || (sec === 9_223_372_036 && nsec > 854_775_807);
  return sec < 0 || isLate ? { sec: 0, nsec: 0 } : time;
}

/** chown(2) clears the capabilities of anything but a directory, even when root calls it. */
function keepAtChown(xattrs: Attributes['xattrs'], type: TarEntry['type']): Attributes['xattrs'] {
  if (type === 'dir' || xattrs?.has('security.capability') !== true) return xattrs;
  return new Map([...xattrs].filter(([name]) => name !== 'security.capability'));
}

/** Drops what unpacking ignores: containerd skips `trusted.*`; the kernel rejects names unfit for the file type. */
function effectiveXattrs(xattrs: Attributes['xattrs'], type: TarEntry['type']): Attributes['xattrs'] {
  if (xattrs === undefined) return undefined;
  const kept = [...xattrs].filter(([name]) => takesEffect(name, type));
  if (kept.length === xattrs.size) return xattrs;
  return kept.length === 0 ? undefined : new Map(kept);
}

function takesEffect(name: string, type: TarEntry['type']): boolean {
  if (name.startsWith('user.')) return name.length > 'user.'.length && (type === 'reg' || type === 'dir');
  if (name.startsWith('security.')) return name.length > 'security.'.length;
  if (name === accessAcl) return type !== 'symlink';
  return name === defaultAcl && type === 'dir';
}
