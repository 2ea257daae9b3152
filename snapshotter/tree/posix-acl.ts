/**
 * system.posix_acl_access as setxattr(2) takes it (linux/posix_acl_xattr.h), little-endian:
 *
 *     version u32 (2), then entries of   tag u16   perm u16   id u32
 *
 * in the order owner, users, owning group, groups, mask, others.
 */
const version = 2;
const headerBytes = 4;
const entryBytes = 8;
const tags = { userObj: 0x01, user: 0x02, groupObj: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;
const order: readonly number[] = [tags.userObj, tags.user, tags.groupObj, tags.group, tags.mask, tags.other];
const undefinedId = 0xffffffff;

/**
 * The ACL as it is after chmod(2) with `mode`, which rewrites the entries of owner, mask and others. Empty if it is
 * equivalent to the mode, which the kernel does not store; undefined if the kernel refuses it.
 */
export function settledAcl(value: Uint8Array, mode: number): Buffer | undefined {
  const acl = Buffer.from(value);
  const count = (acl.length - headerBytes) / entryBytes;
  if (acl.length < headerBytes || !Number.isInteger(count) || acl.readUInt32LE(0) !== version) return undefined;
  if (count === 0) return Buffer.alloc(0);
  const seen = new Map<number, number>();
  let place = 0;
  for (let at = headerBytes; at < acl.length; at += entryBytes) {
    const tag = acl.readUInt16LE(at);
    const isNamed = tag === tags.user || tag === tags.group;
    const found = order.indexOf(tag);
    if (found < place || acl.readUInt16LE(at + 2) > 7) return undefined;
    if (isNamed && acl.readUInt32LE(at + 4) === undefinedId) return undefined;
    if (!isNamed && seen.has(tag)) return undefined;
    if (!isNamed) acl.writeUInt32LE(undefinedId, at + 4);
    place = found;
    seen.set(tag, at);
  }
  const isExtended = seen.has(tags.user) || seen.has(tags.group) || seen.has(tags.mask);
  const isWhole = [tags.userObj, tags.groupObj, tags.other].every((tag) => seen.has(tag));
  if (!isWhole || ((seen.has(tags.user) || seen.has(tags.group)) && !seen.has(tags.mask))) return undefined;
  if (!isExtended) return Buffer.alloc(0);
  acl.writeUInt16LE((mode >> 6) & 7, seen.get(tags.userObj)! + 2);
  acl.writeUInt16LE((mode >> 3) & 7, (seen.get(tags.mask) ?? seen.get(tags.groupObj)!) + 2);
  acl.writeUInt16LE(mode & 7, seen.get(tags.other)! + 2);
  return acl;
}
