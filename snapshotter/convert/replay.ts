/**
 * Applies a layer's entries, in order and in memory, to an empty directory, as containerd unpacks a layer for overlayfs: an
 * entry replaces an earlier one and everything below it, names are resolved through the layer's own links, and whiteouts
 * hide files of the layers below. The result has every file once, so that files can be reordered.
 *
 * Where containerd fails but the image specification is clear ("Whiteouts" apply to lower layers only), follows the
 * specification: a directory is opaque if the layer whites it out after creating it, or implies it after its whiteout.
 */
import { type Attributes, applyAttributes, defaultDirectory, mergeXattrs } from './attributes.ts';
import { type InheritedAttributes, underlay } from './lower-layers.ts';
import { joinPath, type Look, maxPathBytes, parentOf, type Resolution, resolvePath } from './path-resolution.ts';
import { accessAcl, defaultAcl, emptyAcl, minimalAcl } from './posix-acl.ts';
import { printable, type TarEntry, type TarEntryType } from '../tar/tar.ts';
import { malformed } from './error.ts';
import type { TarTime } from '../tar/tar-fields.ts';

export interface Inode {
  readonly type: Exclude<TarEntryType, 'hardlink'> | 'whiteout';
  /** The entry that gave it its content, link target or device number; undefined for a directory without an entry. */
  readonly source: TarEntry | undefined;
  attributes: Attributes;
  /** Set for a directory that hides its content in the layers below. */
  opaque: { readonly entry: TarEntry | undefined } | undefined;
  /** Whether this directory takes its attributes from the layers below. */
  readonly inherits: boolean;
}

export interface LayerFile {
  /** Resolved: no component is a symbolic link, except possibly the last. */
  readonly path: string;
  readonly inode: Inode;
  /** The entry that created it; for a directory, its last entry. */
  entry: TarEntry | undefined;
  readonly children: Set<LayerFile>;
  /** Its directory had a default ACL by then, which mkdir(2), open(2) and mknod(2) pass on. */
  readonly inheritsAcl: boolean;
}

export interface ReplayedLayer {
  /** In order of creation, the root first: parents precede their children, link targets precede links. */
  readonly files: ReadonlyMap<string, LayerFile>;
  /** Directories that unpacking looked up in the layers below, whether or not they are still there. */
  readonly inheriting: readonly string[];
}

const whiteoutPrefix = '.wh.';
/** NAME_MAX. */
const maxNameBytes = 255;
const opaqueMarker = '.wh..wh..opq';

export interface LayerReplay {
  apply(entry: TarEntry): void;
  /** Creates the parent directories of the name. */
  applyGlobalHeader(name: string): void;
  finish(): ReplayedLayer;
}

/**
 * `lowest`: there is no layer below, so whiteouts only remove what the layer itself had so far. Throws ConvertError
 * `malformed-layer` for layers that containerd fails to unpack.
 */
export function replayLayer(lowest: boolean): LayerReplay {
  const root = newFile('', { type: 'dir', source: undefined }, undefined, undefined);
  const files = new Map([['', root]]);
  const directoryTimes: [string, TarTime][] = [];
  const inheriting = new Set<string>();
  const look: Look = (path) => lookUp(files, path);

  const add = (file: LayerFile): LayerFile => {
    checkLength(file.path);
    files.set(file.path, file);
    files.get(parentOf(file.path))!.children.add(file);
    return file;
  };
  const create = (path: string, inode: NewInode, entry: TarEntry | undefined): LayerFile =>
    add(newFile(path, inode, entry, files.get(parentOf(path))));
  const remove = (file: LayerFile): void => {
    for (const child of file.children) remove(child);
    files.delete(file.path);
    files.get(parentOf(file.path))?.children.delete(file);
  };
  /** containerd's mkparent. */
  const openDirectory = (path: string): LayerFile => {
    const known = files.get(path);
    if (known?.inode.type === 'dir') return known;
    const resolution = resolvePath(path, look);
    let directory = files.get(directoryOf(resolution, path))!;
    if (directory.inode.type === 'whiteout') directory = replaceWhiteout(directory);
    for (const name of resolution.kind === 'missing' ? resolution.missing : []) {
      const at = joinPath(directory.path, name);
      directory = create(at, { ...impliedDirectory, inherits: !lowest }, undefined);
      if (!lowest) inheriting.add(at);
    }
    return directory;
  };
  const replaceWhiteout = (whiteout: LayerFile): LayerFile => {
    remove(whiteout);
    const directory = create(whiteout.path, impliedDirectory, undefined);
    directory.inode.opaque = { entry: undefined };
    return directory;
  };
  const whiteOut = (directory: LayerFile, hiddenName: string, entry: TarEntry): void => {
    if (hiddenName === '' || hiddenName === '.' || hiddenName === '..') {
      throw malformed(`${printable(entry.name)} is a whiteout without a name`);
    }
    const path = joinPath(directory.path, hiddenName);
    const existing = files.get(path);
    if (lowest) {
      if (existing !== undefined) remove(existing);
    } else if (existing?.inode.type === 'dir') {
      existing.inode.opaque ??= { entry: undefined };
    } else if (existing === undefined) {
      create(path, { type: 'whiteout', source: entry }, entry);
    }
  };
  /** In the lowest layer, the marker removes everything without an entry of its own, such as implied directories. */
  const makeOpaque = (directory: LayerFile, entry: TarEntry): void => {
    if (!lowest) {
      directory.inode.opaque = { entry };
      return;
    }
    for (const child of [...directory.children]) {
      if (child.entry === undefined) remove(child);
      else makeOpaque(child, entry);
    }
  };
  const linkTarget = (entry: TarEntry): Inode => {
    const slash = entry.linkName.lastIndexOf('/');
    const base = entry.linkName.slice(slash + 1);
    const resolution = resolvePath(entry.linkName.slice(0, slash + 1), look);
    const target = targetOf(files, resolution, base);
    const inode = target?.inode;
    // The device node that stands for a whiteout can be linked: the new name is one too.
    if (inode === undefined || inode.type === 'dir') {
      throw malformed(
        `${printable(entry.name)} is a hard link to ${printable(entry.linkName)}, ` +
          `${inode?.type === 'dir' ? 'a directory' : 'which the layer does not have before it'}`,
      );
    }
    return inode;
  };

  return {
    apply: (entry) => {
      if (entry.name === '') {
        // containerd ignores entries for the root itself; other unpackers do not.
        if (entry.type === 'dir') describe(root, entry);
        return;
      }
      if (entry.name.length > maxPathBytes || entry.linkName.length > maxPathBytes) throw tooLong(entry.name);
      const directory = openDirectory(parentOf(entry.name));
      const base = entry.name.slice(entry.name.lastIndexOf('/') + 1);
      if (base === opaqueMarker) return makeOpaque(directory, entry);
      if (base.startsWith(whiteoutPrefix)) return whiteOut(directory, base.slice(whiteoutPrefix.length), entry);

      const path = joinPath(directory.path, base);
      let existing = files.get(path);
      if (existing !== undefined && !(existing.inode.type === 'dir' && entry.type === 'dir')) {
        remove(existing);
        existing = undefined;
      }
      if (entry.type === 'hardlink') {
        const inode = linkTarget(entry);
        describe(add({ path, inode, entry, children: new Set(), inheritsAcl: false }), entry);
        return;
      }
      const file = existing ?? create(path, { type: entry.type, source: entry }, entry);
      describe(file, entry);
      if (entry.type === 'dir') directoryTimes.push([entry.name, file.inode.attributes.mtime]);
    },
    applyGlobalHeader: (name) => {
      if (name === '') return;
      const directory = openDirectory(parentOf(name));
      const existing = files.get(joinPath(directory.path, name.slice(name.lastIndexOf('/') + 1)));
      if (existing !== undefined) remove(existing);
    },
    finish: () => {
      // containerd sets directory times last and by path: a file that replaced a directory gets the directory's time.
      for (const [path, mtime] of directoryTimes) {
        const resolution = resolvePath(path, look);
        if (resolution.kind !== 'dir' && resolution.kind !== 'other') {
          throw malformed(`the directory ${printable(path)} is replaced by later entries, so its time cannot be set`);
        }
        const { inode } = files.get(resolution.path)!;
        inode.attributes = { ...inode.attributes, mtime };
      }
      for (const file of files.values()) withoutLaterAcl(file, files.get(parentOf(file.path))!);
      return { files, inheriting: [...inheriting] };
    },
  };
}

/** Applies the attributes found in the layers below. */
export function inheritInto({ files, inheriting }: ReplayedLayer, inherited: InheritedAttributes): void {
  for (const path of inheriting) {
    const attributes = inherited.get(path);
    const file = files.get(path);
    if (file?.inode.inherits !== true) continue;
    if (attributes !== undefined) {
      // Without an entry, its own extended attributes can only be those of withoutLaterAcl.
      const own = file.inode.attributes;
      const isImplied = file.entry === undefined;
      file.inode.attributes = isImplied
        ? { ...attributes, xattrs: mergeXattrs(own.xattrs, attributes.xattrs) }
        : underlay(own, attributes);
      continue;
    }
    const above = inherited.get(parentOf(path));
    if (above !== undefined && file.entry === undefined) file.inode.attributes = createdIn(above);
  }
}

type NewInode = Omit<Inode, 'attributes' | 'opaque' | 'inherits'> & { readonly inherits?: boolean };

const impliedDirectory: NewInode = { type: 'dir', source: undefined };

function newFile(
  path: string,
  { inherits = false, ...inode }: NewInode,
  entry: TarEntry | undefined,
  directory: LayerFile | undefined,
): LayerFile {
  // The root's attributes are those of the layers below, whatever the entries say.
  const above = directory === undefined || directory.path === '' ? undefined : directory.inode.attributes;
  return {
    path,
    inode: { ...inode, attributes: createdIn(above), opaque: undefined, inherits },
    entry,
    children: new Set(),
    inheritsAcl: above?.xattrs?.has(defaultAcl) === true,
  };
}

/** In a set-group-ID directory, a new file has the directory's group; chmod(2) follows, and clears the bit of a directory. */
function createdIn(directory: Attributes | undefined): Attributes {
  const isSetGroup = directory !== undefined && (directory.mode & 0o2000) !== 0;
  return isSetGroup ? { ...defaultDirectory, gid: directory.gid } : defaultDirectory;
}

/**
 * In our order, the directory's entry and its default ACL precede the file. Where the ACL came after the file, says by
 * explicit ACLs that the file has none.
 */
function withoutLaterAcl({ inode, inheritsAcl }: LayerFile, directory: LayerFile): void {
  if (inheritsAcl || directory.path === '' || directory.inode.attributes.xattrs?.has(defaultAcl) !== true) return;
  if (inode.type === 'symlink' || inode.type === 'whiteout') return;
  const { mode, xattrs } = inode.attributes;
  const none =
    inode.type === 'dir'
      ? [[accessAcl, minimalAcl(mode)] as const, [defaultAcl, emptyAcl] as const]
      : [[accessAcl, minimalAcl(mode)] as const];
  inode.attributes = { ...inode.attributes, xattrs: mergeXattrs(new Map(none), xattrs) };
}

function describe(file: LayerFile, entry: TarEntry): void {
  const { inode } = file;
  if (inode.type !== 'whiteout') inode.attributes = applyAttributes(inode.attributes, entry, inode.type);
  file.entry = entry;
}

function lookUp(files: ReadonlyMap<string, LayerFile>, path: string): ReturnType<Look> {
  const inode = files.get(path)?.inode;
  if (inode === undefined) return { kind: 'missing' };
  if (inode.type === 'symlink') return { kind: 'symlink', target: inode.source!.linkName };
  // A whiteout counts as a directory: it is replaced by one when an entry lies below it.
  return { kind: inode.type === 'dir' || inode.type === 'whiteout' ? 'dir' : 'other' };
}

/** As link(2): a symbolic link as target is not followed, unless the target's name ends in a slash. */
function targetOf(files: ReadonlyMap<string, LayerFile>, resolution: Resolution, base: string): LayerFile | undefined {
  if (base === '') return resolution.kind === 'other' ? files.get(resolution.path) : undefined;
  return resolution.kind === 'dir' ? files.get(joinPath(resolution.path, base)) : undefined;
}

function checkLength(path: string): void {
  const nameBytes = path.length - 1 - path.lastIndexOf('/');
  if (path.length > maxPathBytes || nameBytes > maxNameBytes) throw tooLong(path);
}

function tooLong(path: string): Error {
  return malformed(`the path ${printable(path.slice(0, 80))}... is longer than Linux takes`);
}

function directoryOf(resolution: Resolution, path: string): string {
  if (resolution.kind === 'dir' || resolution.kind === 'missing') return resolution.path;
  if (resolution.kind === 'too-long') throw tooLong(path);
  const reason = resolution.kind === 'too-many-links' ? 'leads round in a circle of links' : 'goes through a file';
  throw malformed(`the path ${printable(path)} ${reason}`);
}
