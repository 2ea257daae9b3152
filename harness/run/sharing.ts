import { type ImageRecipe, type ImportedImage, isImported, type Workload } from '../../workloads/workload.ts';

/**
 * The workload of another image that shares the most layers with that of `workload`, counted by the recipes that both are
 * built on; of equals the first in `all`. Undefined where none shares any.
 */
export function sharingWorkload(workload: Workload, all: readonly Workload[]): Workload | undefined {
  const own = new Set(chainOf(workload.image));
  const sharedCount = (other: Workload) => chainOf(other.image).filter((name) => own.has(name)).length;
  return all
    .filter((other) => other.image.name !== workload.image.name && sharedCount(other) > 0)
    .sort((a, b) => sharedCount(b) - sharedCount(a))[0];
}

function chainOf(recipe: ImageRecipe | ImportedImage | undefined): string[] {
  if (recipe === undefined || isImported(recipe)) return [];
  return recipe.isStandalone ? [recipe.name] : [recipe.name, ...chainOf(recipe.parent)];
}
