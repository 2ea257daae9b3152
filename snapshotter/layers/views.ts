import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { InheritedDirectory } from '../tree/inheritance.ts';

/**
 * A layer's tree is the same for all images, but for two things that depend on what it is stacked on: the attributes that
 * directories without entries take from the layers below, and what whiteouts mean where nothing lies below. Each of these
 * trees is a view with a mount of its own over the same data:
 *
 *     ''         the plain tree: of all layers whose entries say everything, and of those that inherit nothing
 *     'lowest'   of a layer with whiteouts that is an image's lowest
 *     a digest   of the inherited attributes, which a file of that name in the layer's store keeps for the next daemon
 */
export const plainView = '';
export const lowestView = 'lowest';

const digestCharacters = 32;
const version = 1;

/** Keeps the attributes and returns the view's name. */
export function saveView(directory: string, inherited: readonly InheritedDirectory[]): string {
  const text = JSON.stringify({ version, inherited });
  const name = digestOfText(text);
  const path = viewPath(directory, name);
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return name;
}

/** What a view inherits; undefined where no file of that name, whole and of this version, says so. */
export function loadView(directory: string, name: string): readonly InheritedDirectory[] | undefined {
  try {
    const text = readFileSync(viewPath(directory, name), 'utf8');
    if (digestOfText(text) !== name) return undefined;
    return (JSON.parse(text) as { inherited: InheritedDirectory[] }).inherited;
  } catch {
    return undefined;
  }
}

/** Nothing stands on the view any more. */
export function removeView(directory: string, name: string): void {
  if (name !== plainView && name !== lowestView) rmSync(viewPath(directory, name), { force: true });
}

function digestOfText(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digestCharacters);
}

function viewPath(directory: string, name: string): string {
  return join(directory, `view-${name}.json`);
}
