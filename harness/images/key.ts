import { createHash, type Hash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageRecipe } from '../../workloads/workload.ts';

/**
 * A hash of an image's content as 12 hex digits: the recipe's files and build arguments, those of its parents, and the
 * Debian base.
 */
export async function recipeKey(recipe: ImageRecipe, baseKey: string): Promise<string> {
  const hash = createHash('sha256');
  hash.update(recipe.parent === undefined ? baseKey : await recipeKey(recipe.parent, baseKey));
  await hashFiles(hash, recipe.directory);
  if (recipe.buildArguments !== undefined) hash.update(`\0${JSON.stringify(recipe.buildArguments)}`);
  return hash.digest('hex').slice(0, 12);
}

/** The same for a JSON value. */
export function keyOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 12);
}

/** The same for a directory, or a file: names, contents and which files are executable. */
export async function directoryKey(path: string): Promise<string> {
  const hash = createHash('sha256');
  if ((await stat(path)).isFile()) hash.update(await readFile(path));
  else await hashFiles(hash, path);
  return hash.digest('hex').slice(0, 12);
}

async function hashFiles(hash: Hash, directory: string): Promise<void> {
  for (const name of (await readdir(directory, { recursive: true })).sort()) {
    const path = join(directory, name);
    const { mode } = await stat(path);
    if ((mode & 0o170000) !== 0o100000) continue;
    const content = await readFile(path);
    hash.update(`\0${name}\0${(mode & 0o111) !== 0 ? 'x' : '-'}\0${content.length}\0`).update(content);
  }
}
