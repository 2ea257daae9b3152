import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { InheritedDirectory } from '../tree/inheritance.ts';

/**
 * Two things in a layer's tree depend on the layers below it: the attributes of directories without entries, and the effect
 * of whiteouts, which is another in an image's lowest layer. Each resulting tree is a view, with a mount of its own over the
 * same data file. Views are named:
 *
 *     ''         the plain view: inherits nothing. The only one of a layer whose directories all have entries
 *     'lowest'   of a layer with whiteouts, as an image's lowest
 *     DIGEST     of inherited attributes, which are kept in the layer's store as view-DIGEST.json
 *     NAME~2     the second mount of a view, for a layer with whiteouts that is twice in a chain
 */
export const plainView = '';
export const lowestView = 'lowest';

const digestCharacters = 32;
const version = 1;

/** The name of a view that is `count` times in the chain already. */
export function repeated(name: string, count: number): string {
  return count === 0 ? name : `${name}~${count + 1}`;
}

/** The name of a view without its number. */
export function baseOf(name: string): string {
  return name.replace(/~\d+$/, '');
}

/** Stores the attributes and returns the view's name. */
export function saveView(directory: string, inherited: readonly InheritedDirectory[]): string {
  const text = JSON.stringify({ version, inherited });
  const name = digestOfText(text);
  const path = viewPath(directory, name);
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return name;
}

/** The attributes of a view; undefined if its file is missing or damaged. */
export function loadView(directory: string, name: string): readonly InheritedDirectory[] | undefined {
  try {
    const text = readFileSync(viewPath(directory, name), 'utf8');
    if (digestOfText(text) !== name) return undefined;
    return (JSON.parse(text) as { inherited: InheritedDirectory[] }).inherited;
  } catch {
    return undefined;
  }
}

/** Deletes the file of a view that no snapshot holds any more. */
export function removeView(directory: string, name: string): void {
  if (baseOf(name) === name && name !== plainView && name !== lowestView)
    rmSync(viewPath(directory, name), { force: true });
}

function digestOfText(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digestCharacters);
}

function viewPath(directory: string, name: string): string {
  return join(directory, `view-${name}.json`);
}
