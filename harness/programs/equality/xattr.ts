import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const llistxattr = libc.func('long llistxattr(const uint8_t *path, _Out_ uint8_t *list, unsigned long size)');
const lgetxattr = libc.func(
  'long lgetxattr(const uint8_t *path, const uint8_t *name, _Out_ uint8_t *value, unsigned long size)',
);
const lsetxattr = libc.func(
  'int lsetxattr(const uint8_t *path, const uint8_t *name, const uint8_t *value, unsigned long size, int flags)',
);
const maxXattrBytes = 65536;

/** Extended attributes of `path` itself (links are not followed): name -> hex. Throws where the kernel refuses. */
export function listXattrs(path: Buffer): Record<string, string> {
  const pathBytes = terminated(path);
  const list = Buffer.allocUnsafe(maxXattrBytes);
  const length = Number(llistxattr(pathBytes, list, list.length));
  if (length < 0) throw new Error(`llistxattr ${path.toString()}: errno ${koffi.errno()}`);
  const names = list.subarray(0, length).toString('latin1').split('\0').filter(Boolean).sort();
  const value = Buffer.allocUnsafe(maxXattrBytes);
  const xattrs: Record<string, string> = {};
  for (const name of names) {
    const size = Number(lgetxattr(pathBytes, terminated(Buffer.from(name, 'latin1')), value, value.length));
    if (size < 0) throw new Error(`lgetxattr ${name} of ${path.toString()}: errno ${koffi.errno()}`);
    xattrs[name] = value.subarray(0, size).toString('hex');
  }
  return xattrs;
}

function terminated(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.from([0])]);
}

/** Sets one extended attribute of `path`; throws where the kernel refuses. */
export function setXattr(path: string, name: string, value: Buffer): void {
  const result = lsetxattr(terminated(Buffer.from(path)), terminated(Buffer.from(name)), value, value.length, 0);
  if (Number(result) < 0) throw new Error(`lsetxattr ${name} of ${path}: errno ${koffi.errno()}`);
}
