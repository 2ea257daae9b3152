/**
 * POSIX ACLs as the kernel keeps them in extended attributes (uapi/linux/posix_acl_xattr.h): a version, LE32 2, then
 * entries of eight bytes each: LE16 tag, LE16 permissions, LE32 id. The access ACL and the
 * mode must correspond (acl(5), "Correspondence").
 */
type Xattrs = ReadonlyMap<string, string> | undefined;

export const accessAcl = 'system.posix_acl_access';
export const defaultAcl = 'system.posix_acl_default';

/** Setting it removes an ACL. */
export const emptyAcl = '\x02\0\0\0';

const versionBytes = 4;
const entryBytes = 8;
const undefinedId = 0xffff_ffff;
const tags = { owner: 0x01, group: 0x04, mask: 0x10, other: 0x20 } as const;

/** Updates the access ACL as chmod(2) to `mode` does. Drops an ACL that says no more than the mode, as the kernel does. */
export function fitAcls(xattrs: Xattrs, mode: number): Xattrs {
  const text = xattrs?.get(accessAcl);
  if (text === undefined) return xattrs;
  const acl = Buffer.from(text, 'latin1');
  const offsets = entryOffsets(acl);
  const tagAt = (offset: number): number => acl.readUInt16LE(offset);
  const isMinimal = offsets.every((offset) =>
    [tags.owner, tags.group, tags.other].some((tag) => tag === tagAt(offset)),
  );
  if (isMinimal) {
    const kept = [...xattrs!].filter(([name]) => name !== accessAcl);
    return kept.length === 0 ? undefined : new Map(kept);
  }
  const groupTag = offsets.some((offset) => tagAt(offset) === tags.mask) ? tags.mask : tags.group;
  for (const offset of offsets) {
    const tag = tagAt(offset);
    const shift = tag === tags.owner ? 6 : tag === groupTag ? 3 : tag === tags.other ? 0 : undefined;
    if (shift !== undefined) acl.writeUInt16LE((mode >> shift) & 7, offset + 2);
  }
  return new Map([...xattrs!, [accessAcl, acl.toString('latin1')]]);
}

/** The access ACL that says what the mode says. Setting it removes any other. */
export function minimalAcl(mode: number): string {
  const entries = [
    [tags.owner, mode >> 6],
    [tags.group, mode >> 3],
    [tags.other, mode],
  ] as const;
  const acl = Buffer.alloc(versionBytes + entries.length * entryBytes);
  acl.write(emptyAcl, 'latin1');
  for (const [index, [tag, permissions]] of entries.entries()) {
    const offset = versionBytes + index * entryBytes;
    acl.writeUInt16LE(tag, offset);
    acl.writeUInt16LE(permissions & 7, offset + 2);
    acl.writeUInt32LE(undefinedId, offset + 4);
  }
  return acl.toString('latin1');
}

function entryOffsets(acl: Buffer): number[] {
  const count = Math.max(0, Math.floor((acl.length - versionBytes) / entryBytes));
  return Array.from({ length: count }, (_, index) => versionBytes + index * entryBytes);
}
