import type { CatalogueWorkload, Workload } from '../../workloads/workload.ts';
import { findWorkload } from '../../workloads/catalogue.ts';
import { UsageError } from '../cli/quantity.ts';
import { HarnessError } from '../cli/error.ts';
import { parseNamespace, type RemoteRegistry } from '../registry/remote.ts';
import type { Variant } from './variants.ts';

/** How the tag of a variant ends in other registries, as in the sets that others publish. */
export const suffixes: Readonly<Record<Variant, string>> = {
  legacy: 'org',
  stargz: 'sgz',
  'estargz-noopt': 'esgz-noopt',
  estargz: 'esgz',
  zstdchunked: 'zstdchunked',
};

/** Where the original images come from. */
export type ImageOrigin =
  /** Built here from Debian packages. */
  | { readonly kind: 'debian' }
  /** Docker Hub's, `python:3.11`. */
  | { readonly kind: 'official' }
  /** A set of images that are converted already: `ghcr.io/stargz-containers`. */
  | { readonly kind: 'set'; readonly set: RemoteRegistry };

/** Throws UsageError. */
export function parseOrigin(option: string, text: string): ImageOrigin {
  if (text === 'debian' || text === 'official') return { kind: text };
  return {
    kind: 'set',
    set: parseNamespace(text, `${option} is debian, official, or REGISTRY/NAMESPACE of converted images`),
  };
}

export function formatOrigin(origin: ImageOrigin): string {
  return origin.kind === 'set' ? origin.set.name : origin.kind;
}

/** Tags to use in place of a workload's own, by its name. */
export type Tags = ReadonlyMap<string, string>;

/** `python=3.10,gcc=11.2.0`. Throws UsageError. */
export function parseTags(option: string, text: string): Tags {
  const pairs = text.split(',').map((pair) => /^([^=\s]+)=([\w][\w.-]{0,100})$/.exec(pair.trim()));
  if (pairs.some((pair) => pair === null || findWorkload(pair[1]!) === undefined)) {
    throw new UsageError(`${option} needs workloads and tags like python=3.10,gcc=11.2.0, not '${text}'`);
  }
  return new Map(pairs.map((pair) => [pair![1]!, pair![2]!]));
}

/**
 * What the stargz-snapshotter project publishes at ghcr.io/stargz-containers, by workload: the tags of its benchmark
 * (script/benchmark/hello-bench/src/hello.py).
 */
const stargzContainers: Tags = new Map([
  ['gcc', '11.2.0'],
  ['golang', '1.18'],
  ['jruby', '9.3.4'],
  ['mariadb', '10.7.3'],
  ['node', '17.8.0'],
  ['perl', '5.34.1'],
  ['php', '8.1.4'],
  ['php-apache', '8.1.4-apache-bullseye'],
  ['postgres', '14.2'],
  ['pypy', '3.9'],
  ['python', '3.10'],
  ['r-base', '4.1.3'],
  ['rabbitmq', '3.9.14'],
  ['redis', '6.2.6'],
  ['tomcat', '10.1.0-jdk17-openjdk-bullseye'],
  ['wordpress', '5.9.2'],
]);

const tagsOfSets: Readonly<Record<string, Tags>> = { 'ghcr.io/stargz-containers': stargzContainers };

/** The tag of images that follow none of Docker Hub's. */
const debianTag = 'bookworm';

/** `ghcr.io/me/python:3.11-esgz`: the image of a workload in a registry that is not ours. */
export function publishedImage({ name }: RemoteRegistry, workload: Workload, variant: Variant, tags: Tags): string {
  const { repository, tag } = hubName(workload);
  const own = tags.get(workload.name) ?? tagsOfSets[name]?.get(workload.name) ?? tag ?? debianTag;
  return `${name}/${repository.split('/').at(-1)}:${own}-${suffixes[variant]}`;
}

/** `docker.io/library/python:3.11`. Throws HarnessError for a workload that follows no image there, if only in its packages. */
export function officialImage(workload: Workload, tags: Tags): string {
  const { repository, tag } = hubName(workload);
  if (tag === undefined || (workload as Partial<CatalogueWorkload>).hub === undefined) {
    throw new HarnessError('unsupported-image', `there is no official image for the workload ${workload.name}`, {
      remedy: 'leave it out of --workloads, or --source official out',
    });
  }
  return `docker.io/${repository.includes('/') ? '' : 'library/'}${repository}:${tags.get(workload.name) ?? tag}`;
}

/** Workloads that share an image share its name: that of the workload with the image's name. */
function hubName(workload: Workload): { readonly repository: string; readonly tag: string | undefined } {
  const hub = findWorkload(workload.image.name)?.hub ?? (workload as Partial<CatalogueWorkload>).hub;
  if (hub === undefined) return { repository: workload.image.name, tag: undefined };
  const colon = hub.lastIndexOf(':');
  return { repository: hub.slice(0, colon), tag: hub.slice(colon + 1) };
}
