import koffi from 'koffi';

const libc = koffi.load(null);
const llistxattr = libc.func('int64_t llistxattr(const char *path, void *list, size_t size)');
const lgetxattr = libc.func('int64_t lgetxattr(const char *path, const char *name, void *value, size_t size)');

/** Names and values of a file's extended attributes, links not followed. Node has no call for it. */
export function readXattrs(path: string): { [name: string]: Buffer } {
  return Object.fromEntries(listXattrs(path).map((name) => [name, readXattr(path, name)]));
}

export function listXattrs(path: string): string[] {
  const list = Buffer.alloc(65_536);
  const listBytes = check(llistxattr(path, list, list.length) as number, 'llistxattr', path);
  return list.toString('latin1', 0, listBytes).split('\0').slice(0, -1);
}

export function readXattr(path: string, name: string): Buffer {
  const value = Buffer.alloc(65_536);
  return value.subarray(0, check(lgetxattr(path, name, value, value.length) as number, `lgetxattr ${name}`, path));
}

function check(result: number, call: string, path: string): number {
  if (result < 0) throw new Error(`${call} ${path}: errno ${koffi.errno()}`);
  return result;
}
