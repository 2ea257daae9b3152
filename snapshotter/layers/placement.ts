import type { Digest } from '../registry/digest.ts';
import { type InheritedDirectory, inheritInSteps, lowerTable, withInherited } from '../tree/inheritance.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { takeTurns } from '../tree/steps.ts';
import { LayerError } from './error.ts';
import type { Layer } from './layer.ts';
import type { LayerPlace } from './layer-request.ts';
import type { LayerSources } from './layer-sources.ts';
import { lowerDirectory } from './lower-directory.ts';
import { loadView, lowestView, plainView, saveView } from './views.ts';

export interface PlacementContext {
  readonly sources: Pick<LayerSources, 'buildLowest'>;
  /** The table of an attached view. */
  tableOf(digest: Digest, view: string): InodeTable | undefined;
}

/** Attaches the view of a layer that belongs to `place`, or the plain one without a place. */
export async function placeLayer(
  layer: Layer,
  place: LayerPlace | undefined,
  context: PlacementContext,
): Promise<{ readonly view: string; readonly path: string }> {
  const { store, tree, memory } = layer;
  const attach = async (view: string, makeTable: () => Promise<InodeTable>) => {
    const { path } = await layer.attach(view, makeTable);
    return { view, path };
  };
  const showPlain = () => attach(plainView, async () => tree.table);
  const showLowest = () => attach(lowestView, () => context.sources.buildLowest(store, memory));
  const showInherited = (view: string, inherited: readonly InheritedDirectory[]) =>
    attach(view, async () => withInherited(tree.table, inherited, memory));

  if (place === undefined) return await showPlain();
  const { view: recorded, isLowest } = place;
  if (recorded === plainView) return await showPlain();
  if (recorded === lowestView) return await showLowest();
  if (recorded !== undefined) {
    let inherited = loadView(store.directory, recorded);
    if (inherited === undefined) {
      inherited = await inherit(layer, place, context);
      saveView(store.directory, inherited);
    }
    return await showInherited(recorded, inherited);
  }
  if (isLowest) return await (tree.hasMarks ? showLowest() : showPlain());
  if (tree.implied.length === 0) return await showPlain();
  const inherited = await inherit(layer, place, context);
  if (inherited.length === 0) return await showPlain();
  return await showInherited(saveView(store.directory, inherited), inherited);
}

async function inherit(
  { store, tree }: Layer,
  place: LayerPlace,
  { tableOf }: PlacementContext,
): Promise<InheritedDirectory[]> {
  const lowers = (await place.below()).map((lower) => {
    if ('directory' in lower) return lowerDirectory(lower.directory);
    const table = tableOf(lower.digest, lower.view);
    if (table !== undefined) return lowerTable(table);
    const problem = `it takes attributes from layer ${lower.digest} below, which is not mounted`;
    throw new LayerError('unreachable', store.meta.digest, problem);
  });
  return await takeTurns(inheritInSteps(tree, lowers));
}
