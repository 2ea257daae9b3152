import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import type { Digest } from '../../../snapshotter/registry/digest.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import { type FillLayer, pushImage } from '../../images/synthetic-image.ts';

/** Layers that are mounted as images of one layer each. */
export interface LayerImages {
  readonly reference: string;
  readonly layers: readonly Digest[];
}

const filesPerLayer = 50;
/** One of the files of each layer. */
export const probeName = 'file-7';

export function probeContent(layer: number): string {
  return `${layer} 7`;
}

export async function pushLayerImages(
  count: number,
  { registryAddress, scratch }: { readonly registryAddress: string; readonly scratch: string },
  signal: AbortSignal,
): Promise<LayerImages> {
  const client = new RegistryClient();
  try {
    const [source, target] = ['legacy', 'estargz'].map((tag) => `${registryAddress}/memory-${count}:${tag}`);
    await pushImage(client, { reference: source!, layers: Array.from({ length: count }, fillOf), scratch }, signal);
    const format = { format: 'estargz', signal } as const;
    const { layers } = await convertImage(client, parseReference(source!), parseReference(target!), format);
    return { reference: target!, layers: layers.map(({ digest }) => digest) };
  } finally {
    await client.close();
  }
}

function fillOf(_: unknown, layer: number): FillLayer {
  return async (root) => {
    for (let file = 0; file < filesPerLayer; file++) await writeFile(join(root, `file-${file}`), `${layer} ${file}`);
  };
}
