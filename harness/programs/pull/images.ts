import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import type { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import { type FillLayer, fillShell, pushImage } from '../../images/synthetic-image.ts';
import { seededRandom } from '../../../measurements/stats/random.ts';

export interface LayeredImages {
  /** `host:port` of the registry itself. */
  readonly registry: string;
  readonly client: RegistryClient;
  readonly scratch: string;
}

/** A group of files. In directories of 20: the TOC then has some 10 KB compressed, like that of a small real layer. */
const filesPerGroup = 200;
/** Of the images that are compared with each other. */
export const splitGroups = 31;

/** An image of `layerCount` small layers, which grows with their number. */
export async function pushLayeredImage(
  layerCount: number,
  images: LayeredImages,
  signal: AbortSignal,
): Promise<string> {
  return await pushGroups(`layers-${layerCount}`, groupsInLayers(layerCount - 1, layerCount - 1), images, signal);
}

/** The same files for any `layerCount`. */
export async function pushSplitImage(layerCount: number, images: LayeredImages, signal: AbortSignal): Promise<string> {
  return await pushGroups(splitRepository(layerCount), groupsInLayers(splitGroups, layerCount - 1), images, signal);
}

export function splitRepository(layerCount: number): string {
  return `split-${layerCount}`;
}

/** Numbers of the groups of each layer, evenly. */
function groupsInLayers(groupCount: number, layerCount: number): number[][] {
  const layers = Array.from({ length: layerCount }, (): number[] => []);
  for (let group = 0; group < groupCount; group++) layers[group % layerCount]!.push(group + 1);
  return layers;
}

/**
 * Pushes an image, a shell below a layer of files for each list of groups, in both lazy formats. Returns its repository; the tags are the
 * formats' names.
 */
async function pushGroups(
  repository: string,
  layers: readonly (readonly number[])[],
  { registry, client, scratch }: LayeredImages,
  signal: AbortSignal,
): Promise<string> {
  const at = (tag: string): string => `${registry}/${repository}:${tag}`;
  const fills = [fillShell, ...layers.map(fillSmallFiles)];
  await pushImage(client, { reference: at('legacy'), layers: fills, scratch }, signal);
  for (const format of ['stargz', 'estargz'] as const) {
    await convertImage(client, parseReference(at('legacy')), parseReference(at(format)), { format, signal });
  }
  return repository;
}

function fillSmallFiles(groups: readonly number[]): FillLayer {
  return async (root) => {
    for (const group of groups) await fillGroup(root, group);
  };
}

async function fillGroup(root: string, group: number): Promise<void> {
  const random = seededRandom(group);
  for (let file = 0; file < filesPerGroup; file++) {
    const directory = join(root, 'opt', `layer-${group}`, `d${Math.floor(file / 20)}`);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, `f${file}`), Buffer.from(Uint32Array.from({ length: 256 }, random).buffer));
  }
}
