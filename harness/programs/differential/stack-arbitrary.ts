import { posix } from 'node:path';
import fc from 'fast-check';
import { compressions, type EntryType, type Stack, type StackEntry, type StackLayer } from './stack.ts';

/**
 * Stacks in which names collide: few segments, shallow paths, so that entries meet what stands below them, in their own
 * layer and in others.
 */
export function arbitraryStack(): fc.Arbitrary<Stack> {
  const drafts = fc.array(layerDraft(), { minLength: 1, maxLength: 5, size: 'max' });
  return fc.noBias(drafts.map((layers) => ({ layers: settleLayers(layers) })));
}

/**
 * The same without what a TOC written by ctr-remote does not say, fractions of a second and names that are not UTF-8, and
 * in gzip alone, since it leaves the media types of other compressions on gzip.
 */
export function withoutWhatThePeerLoses(stack: Stack): Stack {
  const settle = (entry: StackEntry): StackEntry => ({
    ...entry,
    name: toUtf8(entry.name),
    ...(entry.link === undefined ? {} : { link: toUtf8(entry.link) }),
    ...(entry.mtime === undefined ? {} : { mtime: String(Math.floor(Number(entry.mtime))) }),
  });
  return { layers: stack.layers.map(({ entries }) => ({ compression: 'gzip', entries: entries.map(settle) })) };
}

function toUtf8(name: string): string {
  const bytes = Buffer.from(name, 'latin1');
  const text = bytes.toString('utf8');
  return Buffer.from(text.replaceAll('\ufffd', 'X'), 'utf8').toString('latin1');
}

/** A layer before it knows the layers below it. */
interface LayerDraft {
  /** This layer is that one again, counted modulo the number of layers below. */
  readonly repeats: number | undefined;
  readonly compression: StackLayer['compression'];
  readonly entries: readonly EntryDraft[];
}

interface EntryDraft {
  readonly entry: StackEntry;
  /** A hard link to, or an entry in the place of, the entry that many before it. */
  readonly linksBack: number;
  readonly replacesBack: number | undefined;
  /** Stays as drawn although containerd may refuse the stack for it. */
  readonly isWild: boolean;
}

function layerDraft(): fc.Arbitrary<LayerDraft> {
  const entries = fc.oneof(
    { weight: 1, arbitrary: fc.constant([]) },
    { weight: 12, arbitrary: fc.array(entryDraft(), { minLength: 1, maxLength: 9, size: 'max' }) },
  );
  return fc.record({
    repeats: rarely(14, fc.nat(4)),
    compression: fc.constantFrom(...compressions),
    entries,
  });
}

function settleLayers(drafts: readonly LayerDraft[]): StackLayer[] {
  const layers: StackLayer[] = [];
  const names: string[] = [];
  const below = new Map<string, StackEntry>();
  for (const { repeats, compression, entries } of drafts) {
    if (repeats !== undefined && layers.length > 0) {
      layers.push(layers[repeats % layers.length]!);
      continue;
    }
    const made = new Map<string, StackEntry>();
    const settled = entries.map(({ entry, linksBack, replacesBack, isWild }) => {
      const name = replacesBack === undefined ? entry.name : (back(names, replacesBack) ?? entry.name);
      const placed = { ...entry, name };
      const tame = isWild ? placed : tameEntry(placed, linksBack, made, below);
      names.push(tame.name);
      const own = normalise(tame.name);
      if (tame.type !== 'dir')
        for (const below of [...made.keys()].filter((other) => other.startsWith(`${own}/`))) made.delete(below);
      made.set(own, tame);
      return tame;
    });
    for (const [name, entry] of made) below.set(name, entry);
    layers.push({ compression, entries: hasAufsMetadata(settled) ? settled.map(withoutDefaultAcl) : settled });
  }
  return layers;
}

/** A directory of AUFS has no entry in our blobs, so nothing could undo a default ACL that came after it. */
function withoutDefaultAcl(entry: StackEntry): StackEntry {
  if (entry.xattrs === undefined) return entry;
  const { 'system.posix_acl_default': _, ...xattrs } = entry.xattrs;
  return { ...entry, xattrs };
}

function hasAufsMetadata(entries: readonly StackEntry[]): boolean {
  return entries.some(({ name }) =>
    normalise(name)
      .split('/')
      .some((part) => /^\.wh\.\.wh\.(plnk|orph)$/.test(part)),
  );
}

/**
 * Most of what containerd refuses is left out, as a refused stack shows nothing else: parents that are files, links to
 * what the layer has not, directories replaced in their own layer (whose times containerd fails to set at the end).
 */
function tameEntry(
  entry: StackEntry,
  linksBack: number,
  made: ReadonlyMap<string, StackEntry>,
  below: ReadonlyMap<string, StackEntry>,
): StackEntry {
  const path = normalise(entry.name);
  const parents = [...path.matchAll(/\//g)].map(({ index }) => path.slice(0, index));
  const isFile = (entry: StackEntry | undefined): boolean => !['dir', 'symlink', undefined].includes(entry?.type);
  const blocked =
    parents.some((parent) => isFile(made.get(parent))) ||
    // A file below that becomes a directory here is fine, if nothing implies a directory in it.
    (parents.length > 1 && parents.some((parent) => isFile(below.get(parent))));
  const name = blocked ? path.slice(path.lastIndexOf('/') + 1) : entry.name;
  const placed = { ...entry, name };
  const own = normalise(name);
  if (isMarker(own)) {
    // overlayfs holds a whiteout once: the second becomes an entry for its directory.
    if (made.has(own)) return { ...asType(placed, 'dir'), name: `./${own.slice(0, own.lastIndexOf('/') + 1)}` };
    const hidden = own.replace(/(^|\/)\.wh\.(?!\.wh\.)/, '$1');
    return hidden !== own && holds(made, hidden) ? { ...asType(placed, 'file'), name: hidden } : placed;
  }
  if (own === '' || holdsDirectory(made, own)) return asType(placed, 'dir');
  if (placed.type !== 'hardlink') return placed;
  const targets = [...made].filter(
    ([other, { type }]) => type !== 'dir' && !isMarker(other) && !`${other}/`.startsWith(`${own}/`),
  );
  const target = back(targets, linksBack)?.[1];
  return target === undefined ? asType(placed, 'file') : { ...placed, link: target.name };
}

/** Whether the layer has made something of that name, or below it. */
function holds(made: ReadonlyMap<string, StackEntry>, path: string): boolean {
  return [...made.keys()].some((other) => other === path || other.startsWith(`${path}/`));
}

function holdsDirectory(made: ReadonlyMap<string, StackEntry>, path: string): boolean {
  return [...made].some(([other, { type }]) => type === 'dir' && (other === path || other.startsWith(`${path}/`)));
}

function asType(entry: StackEntry, type: 'dir' | 'file'): StackEntry {
  const { name, mode, uid, gid, mtime, xattrs } = entry;
  return entry.type === type ? entry : prune({ type, name, mode, uid, gid, mtime, xattrs });
}

/** As in the unpacked tree: no `./`, `..` or slash at an end. */
export function normalise(name: string): string {
  return posix.join('/', name).replace(/\/$/, '').slice(1);
}

function back<T>(items: readonly T[], distance: number): T | undefined {
  return items[items.length - 1 - (distance % Math.max(items.length, 1))];
}

export function isMarker(name: string): boolean {
  return name.slice(name.lastIndexOf('/') + 1).startsWith('.wh.');
}

function entryDraft(): fc.Arbitrary<EntryDraft> {
  return fc.record({
    entry: fc.oneof(
      { weight: 10, arbitrary: entryOf('dir') },
      { weight: 10, arbitrary: entryOf('file') },
      { weight: 5, arbitrary: entryOf('symlink') },
      { weight: 5, arbitrary: entryOf('hardlink') },
      { weight: 2, arbitrary: fc.oneof(entryOf('char'), entryOf('block'), entryOf('fifo')) },
      { weight: 6, arbitrary: whiteout() },
      { weight: 3, arbitrary: opaqueMarker() },
      { weight: 1, arbitrary: aufsMetadata() },
    ),
    linksBack: fc.nat(5),
    replacesBack: rarely(6, fc.nat(5)),
    isWild: fc.nat(119).map((drawn) => drawn === 119),
  });
}

function entryOf<T extends EntryType>(type: T): fc.Arbitrary<StackEntry> {
  const isFile = type === 'file' || type === 'contiguous';
  return fc
    .record({
      name: decorated(),
      link: type === 'symlink' || type === 'hardlink' ? linkTarget : fc.constant(undefined),
      mode: rarely(3, fc.constantFrom(0, 0o700, 0o750, 0o600, 0o1777, 0o4755, 0o2755, 0o6711, 0o7777, 0o444)),
      uid: rarely(4, ids),
      gid: rarely(4, ids),
      mtime: rarely(3, mtimes),
      content: isFile ? fc.constantFrom('', 'x', 'abc', 'some longer text\n') : fc.constant(undefined),
      sizeBytes: isFile ? rarely(6, fc.constantFrom(1, 511, 512, 4096, 4097, 70_000)) : fc.constant(undefined),
      sparse: type === 'file' ? rarely(14, fc.constantFrom('0.0' as const, '0.1' as const, '1.0' as const)) : none,
      device: type === 'char' || type === 'block' ? devices : fc.constant(undefined),
      xattrs: rarely(type === 'symlink' ? 40 : 6, xattrs(type)),
      isGnu: rarely(8, fc.constant(true)),
    })
    .map((drawn) => prune({ type, ...drawn }));
}

/** Absent rather than undefined: a minimal stack shows only what matters. */
function prune(entry: { readonly [K in keyof StackEntry]: StackEntry[K] | undefined }): StackEntry {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined)) as unknown as StackEntry;
}

const none = fc.constant(undefined);

const segment = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('a', 'b', 'c') },
  { weight: 6, arbitrary: fc.constantFrom('d', 'usr', 'lib') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...['\u00c3\u00a9', '\u00ff\u00fe', 'a b', 'new\nline', '%41', 'back\\slash', '\u0001', '...', 'wh.a', '.whx'],
      'l'.repeat(130),
      'm'.repeat(255),
    ),
  },
);

/** A directory's path, '' for the root. */
const parentPath = fc.oneof(
  { weight: 5, arbitrary: fc.constant('') },
  { weight: 6, arbitrary: segment.map((name) => `${name}/`) },
  { weight: 2, arbitrary: fc.tuple(segment, segment).map(([first, second]) => `${first}/${second}/`) },
);

const path = fc.tuple(parentPath, segment).map(([parent, name]) => `${parent}${name}`);

function decorated(): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 20, arbitrary: path },
    { weight: 4, arbitrary: path.map((name) => `./${name}`) },
    { weight: 1, arbitrary: path.map((name) => `/${name}`) },
    { weight: 2, arbitrary: path.map((name) => `${name}/`) },
    { weight: 1, arbitrary: path.map((name) => name.replace('/', '//')) },
    { weight: 1, arbitrary: path.map((name) => name.replace('/', '/./')) },
    { weight: 1, arbitrary: fc.tuple(segment, path).map(([first, name]) => `${first}/../${name}`) },
    { weight: 1, arbitrary: fc.constantFrom('.', './', '/') },
    { weight: 1, arbitrary: path.map((name) => `../${name}`) },
  );
}

const linkTarget = fc.oneof(
  { weight: 8, arbitrary: path },
  { weight: 3, arbitrary: path.map((name) => `/${name}`) },
  { weight: 3, arbitrary: path.map((name) => `../${name}`) },
  { weight: 1, arbitrary: path.map((name) => `../../../../${name}`) },
  { weight: 1, arbitrary: path.map((name) => `./${name}`) },
  { weight: 1, arbitrary: fc.constantFrom('.', '..', '/', '/etc/passwd', 'nowhere', 'x'.repeat(200)) },
);

const ids = fc.constantFrom(1, 1000, 65_534, 2_097_152, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 5, 2 ** 32 - 2);

const mtimes = fc.constantFrom(
  ...['0', '1', '-1', '-1.5', '-86400', '0.000000001', '1500000000.123456789', '1500000000.5', '2147483647'],
  ...['2147483648', '4294967296.25', '8589934592', '1000000000.999999999', '-2147483648'],
);

const devices = fc.constantFrom<[number, number]>([1, 3], [1, 3], [5, 1], [0, 0], [255, 255], [4095, 1_048_575]);

/** Version 2, effective, CAP_NET_BIND_SERVICE permitted. */
const fileCapability = `\u0001\u0000\u0000\u0002\u0000\u0004${'\u0000'.repeat(14)}`;
/** Version 2 of an ACL: user::rwx, user:1000:r--, group::r-x, mask::r-x, other::r-x. */
const accessControlList =
  '\u0002\u0000\u0000\u0000' +
  '\u0001\u0000\u0007\u0000\u00ff\u00ff\u00ff\u00ff' +
  '\u0002\u0000\u0004\u0000\u00e8\u0003\u0000\u0000' +
  '\u0004\u0000\u0005\u0000\u00ff\u00ff\u00ff\u00ff' +
  '\u0010\u0000\u0005\u0000\u00ff\u00ff\u00ff\u00ff' +
  '\u0020\u0000\u0005\u0000\u00ff\u00ff\u00ff\u00ff';

function xattrs(type: EntryType): fc.Arbitrary<Record<string, string>> {
  const trusted: [string, string][] = [
    ['trusted.a', 'v'],
    ['trusted.overlay.opaque', 'y'],
    ['trusted.overlay.redirect', '/b'],
    ['trusted.overlay.metacopy', ''],
    ['trusted.overlay.whiteout', ''],
    ['trusted.overlay.origin', ''],
  ];
  const user: [string, string][] = [
    ['user.a', 'value'],
    ['user.empty', ''],
    ['user.binary', '\u0000\u00ff=\n'],
    ['user.overlay.opaque', 'y'],
    ['user.overlay.redirect', '/b'],
    ['user.overlay.whiteout', ''],
    ['user.\u00c3\u00a9', 'v'],
  ];
  const others: [string, string][] = [
    ['security.selinux', 'system_u:object_r:etc_t:s0\u0000'],
    ['security.a', 'v'],
  ];
  const onFiles: [string, string][] = [['security.capability', fileCapability]];
  const acls: [string, string][] = [['system.posix_acl_access', accessControlList]];
  const defaults: [string, string][] = [['system.posix_acl_default', accessControlList]];
  const unknown: [string, string][] = [
    ['nobody.a', 'v'],
    ['a', 'v'],
  ];
  const allowed = [...trusted, ...trusted, ...others, ...unknown.slice(0, 1)];
  if (type === 'dir' || type === 'file') allowed.push(...user, ...user, ...acls, ...unknown.slice(1));
  if (type === 'file') allowed.push(...onFiles);
  if (type === 'dir') allowed.push(...defaults);
  if (type === 'symlink') allowed.push(...user.slice(0, 1), ...onFiles);
  return fc.array(fc.constantFrom(...allowed), { minLength: 1, maxLength: 3 }).map((list) => Object.fromEntries(list));
}

function whiteout(): fc.Arbitrary<StackEntry> {
  return fc
    .record({
      name: fc.tuple(parentPath, segment).map(([parent, name]) => `${parent}.wh.${name.slice(0, 200)}`),
      type: fc.oneof(
        { weight: 20, arbitrary: fc.constant('file' as const) },
        { weight: 1, arbitrary: fc.constantFrom<EntryType>('char', 'dir', 'symlink') },
      ),
    })
    .map(({ name, type }) => ({ type, name, ...(type === 'symlink' ? { link: 'a' } : {}) }));
}

function opaqueMarker(): fc.Arbitrary<StackEntry> {
  return parentPath.map((parent) => ({ type: 'file', name: `${parent}.wh..wh..opq` }));
}

/** What AUFS keeps for itself, as old Docker daemons let it slip into layers. */
function aufsMetadata(): fc.Arbitrary<StackEntry> {
  const names = ['.wh..wh.aufs', '.wh..wh.plnk/', '.wh..wh.orph/', '.wh..wh.plnk/12.34'];
  const malformed = ['.wh.', '.wh..', '.wh...'];
  return fc
    .tuple(
      fc.constantFrom('', '', 'a/'),
      fc.oneof(
        { weight: 9, arbitrary: fc.constantFrom(...names) },
        { weight: 1, arbitrary: fc.constantFrom(...malformed) },
      ),
    )
    .map(([parent, name]) => ({ type: name.endsWith('/') ? 'dir' : 'file', name: `${parent}${name}` }));
}

function rarely<T>(oneIn: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: oneIn - 1, arbitrary: none }, { weight: 1, arbitrary });
}
