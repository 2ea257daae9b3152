import koffi from 'koffi';
import { SyscallError } from '../platform/syscalls.ts';
import { ErofsError } from './error.ts';

/** fanotify(7) through libc: a pre-content group and its marks. Constants from linux/fanotify.h. */
const libc = koffi.load(null);
const libcInit = libc.func('int fanotify_init(unsigned int flags, unsigned int eventFlags)');
const libcMark = libc.func(
  'int fanotify_mark(int group, unsigned int flags, uint64_t mask, int directory, const char *path)',
);

const FAN_CLOEXEC = 0x1;
const FAN_NONBLOCK = 0x2;
const FAN_CLASS_PRE_CONTENT = 0x8;
const FAN_UNLIMITED_QUEUE = 0x10;
const FAN_UNLIMITED_MARKS = 0x20;
const FAN_MARK_ADD = 0x1;
const FAN_MARK_REMOVE = 0x2;
/** Linux 6.14: raised before the page cache reads from the file, with the range. */
const FAN_PRE_ACCESS = 0x0010_0000n;
const AT_FDCWD = -100;
const O_RDWR = 2;
const O_LARGEFILE = 0o100000;
const O_CLOEXEC = 0o2000000;

/**
 * A new pre-content group; needs CAP_SYS_ADMIN, EINVAL on a kernel without them. Close it with fs.closeSync. The
 * descriptors of its events are open for writing, and raise no events.
 */
export function openGroup(): number {
  const flags = FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS;
  const fd = libcInit(flags, O_RDWR | O_LARGEFILE | O_CLOEXEC) as number;
  if (fd < 0) throw new SyscallError('fanotify_init', 'a pre-content group', koffi.errno());
  return fd;
}

/** For the mounts below `directory`. */
export function openGuardGroup(directory: string): number {
  try {
    return openGroup();
  } catch (error) {
    throw new ErofsError('unsupported', directory, 'this kernel gives no pre-content fanotify group', error);
  }
}

/**
 * From now on reads of `path` raise events, through descriptors opened after the mark: one opened before never does
 * (file_set_fsnotify_mode), which lets the store write the file that it guards.
 */
export function markFile(group: number, path: string): void {
  mark(group, FAN_MARK_ADD, path);
}

export function unmarkFile(group: number, path: string): void {
  mark(group, FAN_MARK_REMOVE, path);
}

function mark(group: number, operation: number, path: string): void {
  const result = libcMark(group, operation, FAN_PRE_ACCESS, AT_FDCWD, path) as number;
  if (result < 0) throw new SyscallError('fanotify_mark', path, koffi.errno());
}
