import type { Digest } from '../registry/digest.ts';
import { type InheritedDirectory, inheritInSteps, lowerTable, withInherited } from '../tree/inheritance.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { takeTurns } from '../tree/steps.ts';
import { LayerError } from './error.ts';
import type { Layer } from './layer.ts';
import type { LayerConfig } from './layer-config.ts';
import type { LayerPlace } from './layer-request.ts';
import type { LayerSources } from './layer-sources.ts';
import { lowerDirectory } from './lower-directory.ts';
import { baseOf, loadView, lowestView, plainView, repeated, saveView } from './views.ts';

export interface PlacementContext {
  readonly sources: Pick<LayerSources, 'buildLowest'>;
  /** Namespace of the overlay's own attributes. */
  readonly opaqueXattr: LayerConfig['opaqueXattr'];
  /** The table of an attached view. */
  tableOf(digest: Digest, view: string): InodeTable | undefined;
}

/** Attaches the view of a layer that belongs to `place`, or the plain one without a place. */
export async function placeLayer(
  layer: Layer,
  place: LayerPlace | undefined,
  context: PlacementContext,
): Promise<{ readonly view: string; readonly path: string }> {
  const view = place?.view ?? (await chooseView(layer, place, context));
  const { path } = await layer.attach(view, () => makeTable(layer, baseOf(view), place, context));
  return { view, path };
}

async function chooseView(layer: Layer, place: LayerPlace | undefined, context: PlacementContext): Promise<string> {
  const { store, tree } = layer;
  if (place === undefined) return plainView;
  if (place.isLowest) return tree.hasMarks ? lowestView : plainView;
  const inherited = tree.implied.length + tree.replaced.length === 0 ? [] : await inherit(layer, place, context);
  const view = inherited.length === 0 ? plainView : saveView(store.directory, inherited);
  if (!tree.hasMarks) return view;
  // Whiteouts are filtered where the overlay merges directories, so a repeated layer with some must be repeated there.
  const { digest } = store.meta;
  const below = await place.below();
  return repeated(
    view,
    below.filter((lower) => 'digest' in lower && lower.digest === digest && baseOf(lower.view) === view).length,
  );
}

async function makeTable(
  layer: Layer,
  base: string,
  place: LayerPlace | undefined,
  context: PlacementContext,
): Promise<InodeTable> {
  const { store, tree, memory } = layer;
  if (base === plainView || place === undefined) return tree.table;
  if (base === lowestView) return await context.sources.buildLowest(store, memory);
  let inherited = loadView(store.directory, base);
  if (inherited === undefined) {
    inherited = await inherit(layer, place, context);
    saveView(store.directory, inherited);
  }
  return withInherited(tree.table, inherited, memory);
}

async function inherit(
  { store, tree }: Layer,
  place: LayerPlace,
  { tableOf, opaqueXattr }: PlacementContext,
): Promise<InheritedDirectory[]> {
  const lowers = (await place.below()).map((lower) => {
    if ('directory' in lower) return lowerDirectory(lower.directory);
    const table = tableOf(lower.digest, lower.view);
    if (table !== undefined) return lowerTable(table);
    const problem = `it takes attributes from layer ${lower.digest} below, which is not mounted`;
    throw new LayerError('unreachable', store.meta.digest, problem);
  });
  const inherited = await takeTurns(inheritInSteps(tree, lowers));
  if (opaqueXattr === 'trusted') return inherited;
  const isOwn = ([name]: readonly [string, string]): boolean => !name.startsWith('user.overlay.');
  return inherited.map((directory) => ({ ...directory, xattrs: directory.xattrs.filter(isOwn) }));
}
