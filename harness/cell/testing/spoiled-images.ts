import { Readable } from 'node:stream';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { type Digest, digestOf } from '../../../snapshotter/registry/digest.ts';
import type { ImageManifest } from '../../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';

interface SpoilRequest {
  /** `host:port` of a registry that has tiny:legacy and tiny:estargz-noopt, of two layers each. */
  readonly registry: string;
  readonly tag: string;
}

const tocDigestLabel = 'containerd.io/snapshot/stargz/toc.digest';
const maxConfigBytes = 1e6;

/** Pushes tiny:estargz-noopt once more as tiny:TAG, with another TOC digest for the upper layer than that of its TOC. */
export async function pushMismatch({ registry, tag }: SpoilRequest, promised: Digest, signal: AbortSignal) {
  const client = new RegistryClient();
  try {
    const { manifest, mediaType } = await read(client, `${registry}/tiny:estargz-noopt`, signal);
    const [lower, upper] = manifest.layers as [Layer, Layer];
    const spoiled = { ...upper, annotations: { ...upper.annotations, [tocDigestLabel]: promised } };
    const bytes = Buffer.from(JSON.stringify({ ...manifest, layers: [lower, spoiled] }));
    await client.pushManifest(parseReference(`${registry}/tiny:${tag}`), mediaType, bytes, signal);
    return { tocDigest: upper.annotations![tocDigestLabel]! };
  } finally {
    await client.close();
  }
}

/** Pushes tiny:TAG: the lower layer of tiny:legacy, and on it the upper one of tiny:estargz-noopt. */
export async function pushMixed({ registry, tag }: SpoilRequest, signal: AbortSignal): Promise<void> {
  const client = new RegistryClient();
  const target = parseReference(`${registry}/tiny:${tag}`);
  try {
    const [plain, lazy] = [
      await read(client, `${registry}/tiny:legacy`, signal),
      await read(client, `${registry}/tiny:estargz-noopt`, signal),
    ];
    const pick = <T>(lower: readonly T[], upper: readonly T[]) => [lower[0]!, upper[1]!];
    const diffIds = pick(plain.config.rootfs.diff_ids, lazy.config.rootfs.diff_ids);
    const config = Buffer.from(JSON.stringify({ ...lazy.config, rootfs: { type: 'layers', diff_ids: diffIds } }));
    const digest = digestOf(config);
    await client.pushBlob(target, { digest, sizeBytes: config.length, open: () => Readable.from([config]) }, signal);
    const manifest = {
      ...lazy.manifest,
      config: { ...lazy.manifest.config, digest, size: config.length },
      layers: pick(plain.manifest.layers, lazy.manifest.layers),
    };
    await client.pushManifest(target, lazy.mediaType, Buffer.from(JSON.stringify(manifest)), signal);
  } finally {
    await client.close();
  }
}

type Layer = ImageManifest['layers'][number];

interface Configuration {
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

async function read(client: RegistryClient, name: string, signal: AbortSignal) {
  const reference = parseReference(name);
  const { bytes, mediaType } = await client.fetchManifest(reference, signal);
  const manifest = JSON.parse(bytes.toString()) as ImageManifest;
  const config = await client.readBlob(reference, manifest.config.digest, maxConfigBytes, signal);
  return { manifest, mediaType, config: JSON.parse(config.toString()) as Configuration };
}
