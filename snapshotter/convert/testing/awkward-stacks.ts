/**
 * Stacks of layers that containerd unpacks and that a converter easily gets wrong. Each is below a directory of its own,
 * so that one image holds them all. Titles describe archive.Apply of containerd 1.6.20 and 2.3 on overlayfs.
 */
import type { RawEntry } from './raw-tar.ts';

export interface AwkwardStack {
  readonly title: string;
  /** Lowest layer first; names are relative to the stack's directory. */
  readonly layers: readonly (readonly RawEntry[])[];
  /** Directories whose mtime is the time of unpacking. */
  readonly undated?: readonly string[];
}

const file = (name: string, more: Partial<RawEntry> = {}): RawEntry => ({
  name,
  content: `content of ${name}`,
  ...more,
});
const directory = (name: string, more: Partial<RawEntry> = {}): RawEntry => ({ name: `${name}/`, ...more });
const symlink = (name: string, linkName: string): RawEntry => ({ name, type: '2', linkName });
const hardlink = (name: string, linkName: string, more: Partial<RawEntry> = {}): RawEntry => {
  return { name, type: '1', linkName, ...more };
};
const whiteout = (name: string): RawEntry => ({ name });
const xattr = (name: string, value: string): readonly [string, string] => [`SCHILY.xattr.${name}`, value];

/** `cap_net_raw=ep` as the kernel stores it (vfs_cap_data, revision 2). */
const capability = `\x01\0\0\x02\0\x20\0\0${'\0'.repeat(12)}`;

/** Encodes [tag, permissions] entries; ACL_USER entries are for UID 5 (posix_acl_xattr.h). */
function acl(...entries: readonly (readonly [number, number])[]): string {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2);
  for (const [index, [tag, permissions]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(permissions, 6 + 8 * index);
    bytes.writeUInt32LE(tag === 2 ? 5 : 0xffff_ffff, 8 + 8 * index);
  }
  return bytes.toString('latin1');
}

const userAcl = acl([1, 7], [2, 7], [4, 5], [16, 7], [32, 5]);
const minimalAcl = acl([1, 7], [4, 5], [32, 5]);

export const awkwardStacks: readonly AwkwardStack[] = [
  {
    title: 'directories without an entry inherit their attributes from the layers below',
    layers: [
      [
        directory('tmp', { mode: 0o1777 }),
        directory('home'),
        directory('home/app', { mode: 0o750, uid: 1000, gid: 1000, pax: [xattr('user.note', 'kept')] }),
        directory('root', { mode: 0o700, mtime: 77 }),
        directory('var', { mode: 0o711 }),
        directory('var/db', { mode: 0o770, gid: 5 }),
        file('var/db/old'),
      ],
      [directory('var', { mode: 0o751, uid: 7 })],
      [file('tmp/x'), file('home/app/.conf'), file('root/.profile'), whiteout('var/db/.wh.old'), file('new/deep/x')],
    ],
    undated: ['tmp', 'home', 'home/app', 'root', 'var', 'var/db', 'new', 'new/deep'],
  },
  {
    title: 'attributes are inherited even from a directory hidden by an opaque one',
    layers: [
      [directory('a'), directory('a/b', { mode: 0o1777 }), file('a/b/x')],
      [directory('a', { mode: 0o700 }), whiteout('a/.wh..wh..opq')],
      [file('a/b/y')],
    ],
    undated: ['a', 'a/b'],
  },
  {
    title: 'an implied directory where a lower layer has a symlink inherits from the target and hides the symlink',
    layers: [
      [directory('usr'), directory('usr/lib', { mode: 0o700, uid: 7 }), symlink('lib', 'usr/lib')],
      [],
      [file('lib/b')],
    ],
    undated: ['lib'],
  },
  {
    title: 'an entry replaces an earlier one of its name, and everything below it',
    layers: [
      [],
      [
        ...[directory('a'), file('a/b'), file('a')],
        ...[file('b'), directory('b'), file('b/c')],
        ...[symlink('c', 'b'), directory('c'), file('c/d')],
        ...[directory('d', { mtime: 5 }), file('d/e'), symlink('d', 'b'), { name: 'e', type: '6' }, file('e')],
        ...[file('f'), { name: 'f', type: '3', devMajor: 1, devMinor: 3 }, file('g'), file('g', { mode: 0o600 })],
        ...[file('h'), hardlink('h', 'g'), { name: 'i', type: '4', devMajor: 8, devMinor: 300 }, directory('i')],
      ],
    ],
  },
  {
    title: 'a directory listed twice has the last attributes, and the xattrs of both entries',
    layers: [
      [],
      [
        directory('a', { mode: 0o700, uid: 1, pax: [xattr('user.one', '1')] }),
        file('a/b'),
        directory('a', { uid: 2, mtime: 9, pax: [xattr('user.two', '2')] }),
        file('a/c'),
      ],
    ],
  },
  {
    title: 'a file that replaces a directory has the mtime of the directory',
    layers: [[], [directory('a', { mtime: 5 }), file('a', { mtime: 9 })]],
  },
  {
    title: 'names resolve through symlinks of their own layer, but not above its root',
    layers: [
      [],
      [
        directory('usr'),
        directory('usr/lib'),
        symlink('lib', 'usr/lib'),
        file('lib/libx.so'),
        symlink('lib64', 'lib'),
        file('lib64/liby.so'),
        hardlink('libz.so', 'lib64/libx.so'),
        symlink('up', '../../../../../../top-of-names'),
        file('up/x'),
        symlink('absolute', '/top-of-absolute/deep'),
        file('absolute/x'),
        directory('lib', { mode: 0o711 }),
        file('lib/own'),
      ],
    ],
  },
  {
    title: 'the path of a whiteout resolves through symlinks',
    layers: [[directory('usr'), file('usr/a'), file('usr/b')], [], [symlink('lib', 'usr'), whiteout('lib/.wh.a')]],
    undated: ['usr'],
  },
  {
    title: 'hard links keep their file when its name is replaced later',
    layers: [
      [],
      [
        ...[file('a'), hardlink('b', 'a'), file('a', { content: 'second' }), hardlink('c', 'b')],
        ...[symlink('s', 'a'), hardlink('t', 's'), directory('d'), file('d/f'), hardlink('e', '/NAME/d/f'), file('d')],
      ],
    ],
  },
  {
    title: 'the entry of a hard link changes the attributes of its file',
    layers: [
      [],
      [
        file('a', { mode: 0o4755, pax: [xattr('user.kept', '1')] }),
        hardlink('b', 'a', { mode: 0o600, uid: 9, mtime: 5, pax: [xattr('user.added', '2')] }),
        file('c', { mode: 0o4755, uid: 3 }),
        hardlink('d', 'c', { mode: 0o4755, uid: 3 }),
        file('e', { pax: [xattr('security.capability', capability)] }),
        hardlink('f', 'e'),
        file('g', { pax: [xattr('security.capability', capability)] }),
      ],
    ],
  },
  {
    title: 'trusted xattrs never take effect, others do where the kernel accepts them',
    layers: [
      [directory('d'), file('d/old'), file('f')],
      [],
      [
        directory('d', {
          pax: [
            xattr('trusted.overlay.opaque', 'y'),
            xattr('trusted.x', 'y'),
            xattr('user.k', 'v'),
            xattr('security.k', 'v'),
          ],
        }),
        file('d/new', {
          pax: [xattr('trusted.overlay.redirect', '/f'), xattr('com.apple.x', 'v'), xattr('user.empty', '')],
        }),
        file('f', { pax: [xattr('trusted.overlay.metacopy', '')] }),
        { ...symlink('s', 'f'), pax: [xattr('user.k', 'v'), xattr('security.k', 'v')] },
      ],
    ],
  },
  {
    title: 'an ACL is adapted to the mode, and one that is equivalent to the mode is dropped',
    layers: [
      [],
      [
        file('a', { mode: 0o640, pax: [xattr('system.posix_acl_access', userAcl)] }),
        file('b', { mode: 0o640, pax: [xattr('system.posix_acl_access', minimalAcl)] }),
      ],
    ],
  },
  {
    title: 'whiteouts beside entries of the same name, also in the lowest layer',
    layers: [
      [
        ...[directory('a'), file('a/b'), whiteout('a/.wh.b'), whiteout('.wh.nothing')],
        ...[directory('e'), file('e/f'), file('e/g/h'), whiteout('e/.wh..wh..opq'), file('e/i')],
        ...[file('x'), file('y'), directory('z'), file('z/1'), file('z/2')],
      ],
      [whiteout('.wh.x'), file('x', { content: 'new' }), whiteout('.wh.y'), symlink('y', 'x')],
      [
        whiteout('z/.wh..wh..opq'),
        directory('z', { mode: 0o711 }),
        file('z/3'),
        { ...directory('.wh.y'), mode: 0o700 },
      ],
    ],
  },
  {
    title: 'AUFS metadata hides nothing',
    layers: [
      [file('old')],
      [],
      [...[directory('.wh..wh.plnk'), file('.wh..wh.aufs'), directory('.wh..wh.orph'), file('new')]],
    ],
  },
  {
    title: 'sparse files in pax formats are expanded',
    layers: [
      [],
      [
        file('a', {
          content: 'abXYZ',
          pax: [
            ['GNU.sparse.major', '0'],
            ['GNU.sparse.minor', '1'],
            ['GNU.sparse.name', 'NAME/zero-one'],
            ['GNU.sparse.size', '5000000'],
            ['GNU.sparse.numblocks', '3'],
            ['GNU.sparse.map', '3,2,4500000,3,5000000,0'],
          ],
        }),
        file('zero-zero', {
          content: 'abXYZ',
          pax: [
            ['GNU.sparse.size', '100'],
            ['GNU.sparse.numblocks', '2'],
            ['GNU.sparse.offset', '0'],
            ['GNU.sparse.numbytes', '2'],
            ['GNU.sparse.offset', '50'],
            ['GNU.sparse.numbytes', '3'],
          ],
        }),
        file('c', {
          content: `1\n1000\n4\n${'\0'.repeat(503)}data`,
          pax: [
            ['GNU.sparse.major', '1'],
            ['GNU.sparse.minor', '0'],
            ['GNU.sparse.name', 'NAME/one-zero'],
            ['GNU.sparse.realsize', '2000'],
          ],
        }),
      ],
    ],
  },
  {
    title: '32-bit IDs, times out of range, names of any bytes',
    layers: [
      [],
      [
        file('ids', {
          pax: [
            ['uid', '2147483648'],
            ['gid', '4294967294'],
          ],
        }),
        file('unchanged', {
          pax: [
            ['uid', '4294967295'],
            ['gid', '4294967296'],
          ],
        }),
        file('negative', { pax: [['uid', '-2']] }),
        file('before', { pax: [['mtime', '-1.5']] }),
        file('late', { pax: [['mtime', '9999999999999']] }),
        file('fraction', { pax: [['mtime', '1.123456789']] }),
        directory('old', { pax: [['mtime', '-100']] }),
        file('\xff\x01"\\ \n'),
        file('./a/../\xc3\xa4//b', { pax: [['SCHILY.xattr.user.\xfe', '\0\xff=\n']] }),
        file('short', { pax: [['path', `NAME/${'long/'.repeat(60)}name`]] }),
      ],
    ],
    undated: ['\xc3\xa4', ...Array.from({ length: 60 }, (_, depth) => 'long/'.repeat(depth + 1).slice(0, -1))],
  },
  {
    title: 'the parent directories of a global header’s name are created',
    layers: [
      [directory('tmp', { mode: 0o1777 })],
      [],
      [{ name: 'tmp/GlobalHead.1', type: 'g', content: '13 comment=x\n' }],
    ],
    undated: ['tmp'],
  },
];

/** Joins all stacks into the layers of one image, each below the directory `nameOf(index)`. */
export function joinStacks(stacks: readonly AwkwardStack[], nameOf: (index: number) => string): RawEntry[][] {
  const joined: RawEntry[][] = [[], [], []];
  for (const [index, { layers }] of stacks.entries()) {
    const name = nameOf(index);
    for (const [place, entries] of joined.entries()) {
      entries.push({ name: `${name}/` }, ...(layers[place] ?? []).map((entry) => moveBelow(entry, name)));
    }
  }
  return joined;
}

function moveBelow(entry: RawEntry, name: string): RawEntry {
  const { linkName, pax } = entry;
  const isRelative = entry.type === '1' && linkName?.startsWith('/') === false;
  return {
    ...entry,
    name: `${name}/${entry.name}`,
    ...(linkName === undefined
      ? {}
      : { linkName: isRelative ? `${name}/${linkName}` : linkName.replace('NAME', name) }),
    ...(pax === undefined ? {} : { pax: pax.map(([key, value]) => [key, value.replace('NAME', name)] as const) }),
  };
}
