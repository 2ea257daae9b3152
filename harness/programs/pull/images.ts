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

/** In directories of 20: the TOC then has some 10 KB compressed, like that of a small real layer. */
const filesPerLayer = 200;

/** Pushes an image of `layerCount` small layers in both lazy formats. Returns its repository; the tags are the formats' names. */
export async function pushLayeredImage(
  layerCount: number,
  { registry, client, scratch }: LayeredImages,
  signal: AbortSignal,
): Promise<string> {
  const repository = `layers-${layerCount}`;
  const at = (tag: string): string => `${registry}/${repository}:${tag}`;
  const fills = Array.from({ length: layerCount }, (_, layer) => (layer === 0 ? fillShell : fillSmallFiles(layer)));
  await pushImage(client, { reference: at('legacy'), layers: fills, scratch }, signal);
  for (const format of ['stargz', 'estargz'] as const) {
    await convertImage(client, parseReference(at('legacy')), parseReference(at(format)), { format, signal });
  }
  return repository;
}

function fillSmallFiles(layer: number): FillLayer {
  return async (root) => {
    const random = seededRandom(layer);
    for (let file = 0; file < filesPerLayer; file++) {
      const directory = join(root, 'opt', `layer-${layer}`, `d${Math.floor(file / 20)}`);
      await mkdir(directory, { recursive: true });
      await writeFile(join(directory, `f${file}`), Buffer.from(Uint32Array.from({ length: 256 }, random).buffer));
    }
  };
}
