/**
 * What a layer inherits from those below it: a directory that has files but no entry in the layer takes its attributes from
 * the nearest layer below that has it, as containerd's unpack copies them.
 */
import { type Attributes, mergeXattrs } from './attributes.ts';
import { resolvePath } from './path-resolution.ts';
import { printable } from '../tar/tar.ts';
import { malformed } from './error.ts';

export type TreeNode =
  | { readonly kind: 'dir'; readonly attributes: Attributes }
  | { readonly kind: 'symlink'; readonly target: string }
  /** Includes whiteouts, which overlayfs stores as device nodes in the layer's directory. */
  | { readonly kind: 'other' };

/** What unpacking one layer leaves in its own directory, by path. */
export type LayerTree = ReadonlyMap<string, TreeNode>;

/** Attributes by path, for the directories that a layer below has. */
export type InheritedAttributes = ReadonlyMap<string, Attributes>;

/** Nearest layer first. Throws ConvertError where containerd fails to resolve a path in a layer below. */
export function inheritAttributes(paths: readonly string[], layersBelow: readonly LayerTree[]): InheritedAttributes {
  const inherited = new Map<string, Attributes>();
  for (const path of paths) {
    const attributes = findDirectory(path, layersBelow);
    if (attributes !== undefined) inherited.set(path, attributes);
  }
  return inherited;
}

/** The first layer that has anything at the path ends the search, even if it is not a directory. */
function findDirectory(path: string, layersBelow: readonly LayerTree[]): Attributes | undefined {
  for (const layer of layersBelow) {
    const resolution = resolvePath(path, (at) => layer.get(at) ?? { kind: 'missing' });
    if (resolution.kind === 'missing') continue;
    if (resolution.kind !== 'dir' && resolution.kind !== 'other') {
      throw malformed(
        `a layer has files in ${printable(path)}, which a layer below makes unreachable (${resolution.kind})`,
      );
    }
    if (resolution.kind !== 'dir' || resolution.path === '') return undefined;
    const node = layer.get(resolution.path);
    // containerd copies the ids only, not the owner names.
    return node?.kind === 'dir' ? { ...node.attributes, userName: '', groupName: '' } : undefined;
  }
  return undefined;
}

/** A directory created before its own entry keeps the xattrs that it inherited. */
export function underlay(attributes: Attributes, inherited: Attributes): Attributes {
  return { ...attributes, xattrs: mergeXattrs(inherited.xattrs, attributes.xattrs) };
}
