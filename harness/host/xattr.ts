import koffi from 'koffi';

/** Extended attributes of a path itself: links are not followed. Node has no calls for them. */

const libc = koffi.load('libc.so.6');
const llistxattr = libc.func('long llistxattr(const uint8_t *path, _Out_ uint8_t *list, unsigned long size)');
const lgetxattr = libc.func(
  'long lgetxattr(const uint8_t *path, const uint8_t *name, _Out_ uint8_t *value, unsigned long size)',
);
const lsetxattr = libc.func(
  'int lsetxattr(const uint8_t *path, const uint8_t *name, const uint8_t *value, unsigned long size, int flags)',
);

/** XATTR_LIST_MAX and XATTR_SIZE_MAX of linux/limits.h. */
const maxBytes = 65_536;

/** Names and values, sorted by name; names are read as Latin-1. */
export function readXattrs(path: string | Buffer): { readonly [name: string]: Buffer } {
  return Object.fromEntries(listXattrs(path).map((name) => [name, readXattr(path, name)]));
}

export function listXattrs(path: string | Buffer): string[] {
  const list = Buffer.allocUnsafe(maxBytes);
  const sizeBytes = check(llistxattr(terminated(path), list, list.length), 'llistxattr', path);
  return list.toString('latin1', 0, sizeBytes).split('\0').filter(Boolean).sort();
}

export function setXattr(path: string | Buffer, name: string, value: Buffer): void {
  const result = lsetxattr(terminated(path), terminated(Buffer.from(name, 'latin1')), value, value.length, 0);
  check(result, `lsetxattr ${name}`, path);
}

function readXattr(path: string | Buffer, name: string): Buffer {
  const value = Buffer.allocUnsafe(maxBytes);
  const result = lgetxattr(terminated(path), terminated(Buffer.from(name, 'latin1')), value, value.length);
  return Buffer.from(value.subarray(0, check(result, `lgetxattr ${name}`, path)));
}

function terminated(bytes: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(bytes as Buffer), Buffer.from([0])]);
}

function check(result: number | bigint, call: string, path: string | Buffer): number {
  if (Number(result) < 0) throw new Error(`${call} ${path.toString()}: errno ${koffi.errno()}`);
  return Number(result);
}
