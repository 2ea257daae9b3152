import { join } from 'node:path';
import { formatMegabytes } from '../../../measurements/format.ts';
import { say } from '../../cli/program.ts';
import { describeUse, measureUse, registryDirectory } from '../../images/disk-use.ts';
import { suffixes } from '../../images/published.ts';
import { readStore, type StoredImage } from '../../images/store.ts';
import { type Variant, variantNames } from '../../images/variants.ts';
import { openAccess } from '../../registry/access.ts';
import { findEmbedded, findPublished, type FoundImage } from './found-images.ts';
import type { ImagesOptions } from './options.ts';

/** A row for each image, a column for each format as --variants names it, in MB; then what all of it takes on disk. */
export async function listImages(options: ImagesOptions, signal: AbortSignal): Promise<boolean> {
  const { images, stateDir } = options;
  if (images.remote === undefined) {
    const found = await findEmbedded(options);
    say(formatTable('embedded registry, MB', found));
    const others = await findOthers(stateDir, found);
    if (others.length > 0) {
      say(`\nand ${others.length} that prune may remove: of other workloads, recipes or sources`);
    }
    say(`\n${describeUse(await measureUse(stateDir))}`);
    return true;
  }
  await using access = openAccess(images.hostsDirectory);
  const found = await findPublished(options, access, signal);
  say(formatTable(`${images.remote.name}, MB`, found));
  say(
    `\ntags there end in ${variantsOf(found)
      .map((variant) => `-${suffixes[variant]} (${variant})`)
      .join(', ')}`,
  );
  return true;
}

/** Images in the embedded registry that are none of these. */
async function findOthers(stateDir: string, found: readonly FoundImage[]): Promise<readonly StoredImage[]> {
  const listed = new Set(found.map(({ name }) => name));
  const stored = await readStore(join(stateDir, registryDirectory));
  return [...stored.values()].filter(({ name }) => !listed.has(name));
}

function formatTable(title: string, found: readonly FoundImage[]): string {
  const variants = variantsOf(found);
  const rows = [...Map.groupBy(found, ({ profile }) => profile.image.name)].map(([name, row]) => [
    name,
    ...variants.map((variant) => formatMegabytes(row.find((image) => image.variant === variant)?.sizeBytes)),
  ]);
  const table = [[title, ...variants], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table
    .map((row) => row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join('  '))
    .join('\n');
}

function variantsOf(found: readonly FoundImage[]): Variant[] {
  return variantNames.filter((variant) => found.some((image) => image.variant === variant));
}
