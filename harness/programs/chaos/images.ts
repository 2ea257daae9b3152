import { pushLazy } from '../../../testkit/images.ts';
import { writeFilesOf } from './content.ts';

export interface ChaosImage {
  readonly number: number;
  /** Without the registry, which each node reaches through a gate of its own. */
  readonly name: string;
  readonly digest: string;
}

/** Images of one layer each, on the registry. */
export async function pushImages(registryAddress: string, count: number): Promise<ChaosImage[]> {
  const images: ChaosImage[] = [];
  for (let number = 0; number < count; number++) {
    const name = `chaos/${number}:lazy`;
    const fill = (root: string) => writeFilesOf(number, root);
    const image = { reference: `${registryAddress}/${name}`, layers: [fill] };
    const { layers } = await pushLazy(image, { chunkSizeBytes: 32_768 });
    images.push({ number, name, digest: layers[0]!.digest });
  }
  return images;
}
