import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type Definition, parseDefinition } from './definition.ts';
import { WorkloadError } from './error.ts';
import { baseNames, baseRecipe, isBaseName } from './recipes.ts';
import { type CatalogueWorkload, categories, type ImageRecipe, type SourceMount } from './workload.ts';

const dataFile = 'workload.toml';
/** The build context of a folder's own image, apart from its data, so that only what is built decides the image's key. */
const contextName = 'image';

/** What a run measures unless --workloads names others, in this order. */
const defaultNames = ['python', 'gcc', 'postgres', 'tomcat'];

/** All workloads: the default ones, then by category and name. */
export const workloads: readonly CatalogueWorkload[] = loadCatalogue(import.meta.dirname, defaultNames);

export const defaultWorkloads: readonly CatalogueWorkload[] = workloads.filter(({ groups }) =>
  groups.includes('default'),
);

export function findWorkload(name: string): CatalogueWorkload | undefined {
  return workloads.find((workload) => workload.name === name);
}

/** Reads every folder of `root` that has a workload.toml. Throws WorkloadError: folder, field and remedy in one line. */
export function loadCatalogue(root: string, defaults: readonly string[]): readonly CatalogueWorkload[] {
  const definitions = new Map<string, Definition>();
  for (const { name } of readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
    const path = join(root, name, dataFile);
    if (existsSync(path)) definitions.set(name, parseDefinition(readFileSync(path, 'utf8'), nameOf(path)));
  }
  const loaded = [...definitions].map(([name, definition]): CatalogueWorkload => {
    const { title, category, hub, command, env, stdin, mounts, ready, timeoutMs } = definition;
    return {
      ...{ name, title, category, hub, command, env, stdin, ready, timeoutMs },
      groups: defaults.includes(name) ? [category, 'default'] : [category],
      image: resolveImage({ root, definitions, above: [] }, name),
      ...(mounts.length === 0 ? {} : { mounts: mounts.map((mount) => resolveMount(join(root, name), mount)) }),
    };
  });
  const rank = ({ name, category }: CatalogueWorkload) =>
    defaults.includes(name) ? defaults.indexOf(name) : defaults.length + categories.indexOf(category);
  return loaded.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
}

interface Resolution {
  readonly root: string;
  readonly definitions: ReadonlyMap<string, Definition>;
  /** The images that lead here, against circles. */
  readonly above: readonly string[];
}

function resolveImage(resolution: Resolution, name: string): ImageRecipe {
  const { root, definitions, above } = resolution;
  const definition = definitions.get(name)!;
  const folder = join(root, name);
  const file = nameOf(join(folder, dataFile));
  const field = 'shared' in definition.image ? 'image' : 'base';
  const other = 'shared' in definition.image ? definition.image.shared : definition.image.base;
  if (above.includes(name))
    throw new WorkloadError(file, `${field} leads back to itself`, 'name an image that stands alone');
  const next = { root, definitions, above: [...above, name] };
  if (!isBaseName(other) && !definitions.has(other)) {
    const known = [...baseNames, ...definitions.keys()].join(', ');
    throw new WorkloadError(file, `${field} names '${other}', which is no image`, `use one of ${known}`);
  }
  const found = isBaseName(other) ? baseRecipe(other) : resolveImage(next, other);
  if (field === 'image') return found;
  const directory = join(folder, contextName);
  const dockerfile = join(directory, 'Dockerfile');
  if (!existsSync(dockerfile)) {
    throw new WorkloadError(file, 'base needs an image to build on it', `add ${contextName}/Dockerfile beside it`);
  }
  const lastStage = [...readFileSync(dockerfile, 'utf8').matchAll(/^FROM +(\S+)/gm)].at(-1)?.[1];
  return {
    ...{ name, directory, parent: found },
    ...(lastStage === 'scratch' ? { isStandalone: true } : {}),
    ...(definition.buildArguments === undefined ? {} : { buildArguments: definition.buildArguments }),
  };
}

function resolveMount(folder: string, { source, target }: SourceMount): SourceMount {
  const path = join(folder, source);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return { source: path, target };
  throw new WorkloadError(
    nameOf(join(folder, dataFile)),
    `mounts.source names '${source}', which is no directory`,
    'name one beside the file',
  );
}

/** As a person who stands in the repository would type it. */
function nameOf(path: string): string {
  const inRepository = relative(dirname(import.meta.dirname), path);
  return inRepository.startsWith('..') ? path : inRepository;
}
