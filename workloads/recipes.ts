import { join } from 'node:path';
import type { ImageRecipe } from './workload.ts';

/** Built by mmdebstrap; the base of every other image. */
export const debian = recipe('debian', undefined);

/** Shared by python and gcc, as on Docker Hub. */
export const buildpackDeps = recipe('buildpack-deps', debian);

export function recipe(name: string, parent: ImageRecipe | undefined): ImageRecipe {
  return { name, directory: join(import.meta.dirname, 'images', name), parent };
}
