import { copyFileSync, mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { type FillLayer, fillShell, pushImage, type SyntheticImage } from '../harness/images/synthetic-image.ts';
import { type ConvertedImage, convertImage, type RegistryOptions } from '../snapshotter/convert/image.ts';
import { RegistryClient } from '../snapshotter/registry/client.ts';
import { parseReference } from '../snapshotter/registry/reference.ts';

const limitMs = 60_000;

/** Pushes an image of gzip layers. */
export async function pushPlain(image: SyntheticImage): Promise<void> {
  await withClient(async (client, signal) => void (await pushImage(client, image, signal)));
}

/** Pushes an image as `REFERENCE-plain`, and converts it to `REFERENCE`; estargz by default. */
export async function pushLazy(
  image: SyntheticImage,
  options: Omit<Partial<RegistryOptions>, 'signal'> = {},
): Promise<ConvertedImage> {
  const plain = `${image.reference}-plain`;
  return await withClient(async (client, signal) => {
    await pushImage(client, { ...image, reference: plain }, signal);
    const [source, target] = [parseReference(plain), parseReference(image.reference)];
    return await convertImage(client, source, target, { format: 'estargz', ...options, signal });
  });
}

/** Converts an image that is in a registry. */
export async function convertPlain(
  source: string,
  target: string,
  options: Omit<RegistryOptions, 'signal' | 'recordedOn'> & { readonly recordedOn?: string },
): Promise<ConvertedImage> {
  const { recordedOn, ...rest } = options;
  const recorded = recordedOn === undefined ? {} : { recordedOn: parseReference(recordedOn) };
  return await withClient((client, signal) =>
    convertImage(client, parseReference(source), parseReference(target), { ...rest, ...recorded, signal }),
  );
}

/** Pushes an image for pod sandboxes: it sleeps. */
export async function pushPause(reference: string): Promise<void> {
  await pushPlain({ reference, layers: [fillShell], configuration: { config: { Cmd: ['/bin/sleep', '1000'] } } });
}

/** An image of two layers, a shell and a file; its command prints `hello`. */
export const tinyImage: Pick<SyntheticImage, 'layers' | 'configuration'> = {
  layers: [fillShell, writeInto('greeting', 'hello\n')],
  configuration: {
    config: { Env: ['PATH=/bin', 'COLOUR=red'], Entrypoint: ['sh', '-c'], Cmd: ['cat /greeting'] },
  },
};

/** A layer of one file. */
export function writeInto(name: string, content: string | Uint8Array): FillLayer {
  return async (root) => {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  };
}

/** A layer with the host's programs at their own paths, and their shared libraries. */
export function copyPrograms(programs: readonly string[]): FillLayer {
  return async (root) => {
    for (const file of await programFiles(programs)) {
      mkdirSync(join(root, dirname(file)), { recursive: true });
      copyFileSync(file, join(root, file));
    }
  };
}

/** The paths of the host's programs, and of the shared libraries that they load at their start. */
export async function programFiles(programs: readonly string[]): Promise<Set<string>> {
  const files = new Set(programs);
  for (const program of programs) {
    const { stdout } = await execa('ldd', [program], { reject: false });
    for (const [, path] of stdout.matchAll(/(\/\S+) \(0x/g)) files.add(path!);
  }
  return files;
}

async function withClient<T>(use: (client: RegistryClient, signal: AbortSignal) => Promise<T>): Promise<T> {
  const client = new RegistryClient();
  try {
    return await use(client, AbortSignal.timeout(limitMs));
  } finally {
    await client.close();
  }
}
