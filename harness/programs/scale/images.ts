import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom } from '../../../measurements/stats/random.ts';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import type { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import { type FillLayer, fillShell, pushImage } from '../../images/synthetic-image.ts';
import { hasImage } from '../../images/variants.ts';

export interface PushRequest {
  /** `host:port` of the registry itself. */
  readonly registry: string;
  readonly client: RegistryClient;
  readonly scratch: string;
  readonly layerCount: number;
}

const filesPerLayer = 50;
const fileBytes = 4096;

/** Reads every file of the image's own layers. */
export const readAll = ['sh', '-c', 'cat /opt/*/* > /opt/all && echo read'] as const;
export const readAllSays = 'read\n';

/** Pushes an image, a shell below layers that no other image has, as original and as eStargz, unless it is there. */
export async function ensureScaleImage(index: number, request: PushRequest, signal: AbortSignal): Promise<void> {
  const { registry, client, scratch, layerCount } = request;
  const at = (variant: string): string => `${registry}/${scaleImage(index, layerCount, variant)}`;
  if (await hasImage(client, at('estargz'), signal)) return;
  const fills = Array.from({ length: layerCount }, (_, layer) => (layer === 0 ? fillShell : fill(index, layer)));
  await pushImage(client, { reference: at('legacy'), layers: fills, scratch }, signal);
  const format = { format: 'estargz', signal } as const;
  await convertImage(client, parseReference(at('legacy')), parseReference(at('estargz')), format);
}

export function scaleImage(index: number, layerCount: number, variant: string): string {
  return `scale-${layerCount}-${index}:${variant}`;
}

function fill(index: number, layer: number): FillLayer {
  return async (root) => {
    const random = seededRandom(index * 1000 + layer);
    const directory = join(root, 'opt', String(layer));
    await mkdir(directory, { recursive: true });
    const content = (): Buffer => Buffer.from(Uint32Array.from({ length: fileBytes / 4 }, random).buffer);
    for (let file = 0; file < filesPerLayer; file++) await writeFile(join(directory, `f${file}`), content());
  };
}
