/** The attributes a file has once containerd has unpacked it, of those that a tar can ask for. */
import { accessAcl, defaultAcl, fitAcls } from './posix-acl.ts';
import type { TarEntry } from './tar.ts';
import type { TarTime } from './tar-fields.ts';

export type Attributes = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'userName' | 'groupName' | 'mtime' | 'xattrs'>;

/** A directory that no archive describes (containerd's mkparent); the clock of the unpacking machine is not known here. */
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
 * What `entry` makes of a file that has the attributes `before`: a new file, a directory listed again, or a file that a hard
 * link is made to. In containerd's order: chown, xattrs, chmod, times.
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

/** Xattrs of `upper`, and those of `lower` that it has not. */
export function mergeXattrs(lower: Attributes['xattrs'], upper: Attributes['xattrs']): Attributes['xattrs'] {
  if (lower === undefined || upper === undefined) return lower ?? upper;
  return new Map([...lower, ...upper]);
}

/** Owner names do not count: nobody unpacks by them. */
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

/** containerd's bounds: from 1970 to the last nanosecond that 63 bits count; what is outside becomes 1970. */
function boundTime(time: TarTime): TarTime {
  const { sec, nsec } = time;
  const isLate = sec > 9_223_372_036 || (sec === 9_223_372_036 && nsec > 854_775_807);
  return sec < 0 || isLate ? { sec: 0, nsec: 0 } : time;
}

/** Changing the owner of anything but a directory takes its capabilities away, root's doing or not. */
function keepAtChown(xattrs: Attributes['xattrs'], type: TarEntry['type']): Attributes['xattrs'] {
  if (type === 'dir' || xattrs?.has('security.capability') !== true) return xattrs;
  return new Map([...xattrs].filter(([name]) => name !== 'security.capability'));
}

/** Without what unpacking passes over: containerd refuses `trusted.*`, the kernel what it has no namespace for. */
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
