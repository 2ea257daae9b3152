import koffi from 'koffi';
import { SyscallError } from './syscalls.ts';

const libc = koffi.load(null);
const llistxattr = libc.func('int64_t llistxattr(const void *path, void *list, size_t size)');
const lgetxattr = libc.func('int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)');

/** XATTR_LIST_MAX and XATTR_SIZE_MAX of Linux. */
const limitBytes = 65_536;

export interface Xattr {
  /** Latin-1. */
  readonly name: string;
  readonly value: Buffer;
}

/** A file's extended attributes, symbolic links not followed; none on a file system without them. Node has no call for it. */
export function readXattrs(path: Buffer): Xattr[] {
  const terminated = Buffer.concat([path, Buffer.of(0)]);
  const into = Buffer.alloc(limitBytes);
  const listBytes = llistxattr(terminated, into, limitBytes) as number;
  if (listBytes < 0) {
    if (koffi.errno() === koffi.os.errno.ENOTSUP) return [];
    throw new SyscallError('llistxattr', path.toString(), koffi.errno());
  }
  const names = into.toString('latin1', 0, listBytes).split('\0').slice(0, -1);
  return names.flatMap((name) => {
    const sizeBytes = lgetxattr(terminated, Buffer.from(`${name}\0`, 'latin1'), into, limitBytes) as number;
    // ENODATA: removed meanwhile, or of a namespace that is not for this process.
    return sizeBytes < 0 ? [] : [{ name, value: Buffer.from(into.subarray(0, sizeBytes)) }];
  });
}
