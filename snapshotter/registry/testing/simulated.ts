import type { TestContext } from 'node:test';
import {
  type RegistrySimulator,
  type SimulatorOptions,
  startRegistrySimulator,
} from '../../../testkit/registry-simulator/simulator.ts';
import { pseudoRandomBytes } from '../../../testkit/random.ts';
import { RegistryClient, type RegistryClientOptions } from '../client.ts';
import { digestOf } from '../digest.ts';
import { mediaTypes } from '../manifest.ts';
import { parseReference, type Reference } from '../reference.ts';

/** A layer, and a manifest `team/image:1` that names it. */
export const layer = pseudoRandomBytes(300_000, 1);
export const layerDigest = digestOf(layer);
const config = Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}');
export const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: mediaTypes.ociLayerGzip, digest: layerDigest, size: layer.length }],
  }),
);
export const content = {
  blobs: [layer, config],
  manifests: [{ repository: 'team/image', tag: '1', mediaType: mediaTypes.ociManifest, bytes: manifest }],
};

/** A simulated registry with the layer and its manifest, closed after the test. */
export async function startSimulator(t: TestContext, options: SimulatorOptions = {}): Promise<RegistrySimulator> {
  const simulator = await startRegistrySimulator({ content, ...options });
  t.after(() => simulator.close());
  return simulator;
}

/** A client that retries without waiting, closed after the test. */
export function openClient(t: TestContext, options: RegistryClientOptions = {}): RegistryClient {
  const client = new RegistryClient({ retry: { maxRetries: 3, minWaitMs: 1, maxWaitMs: 2 }, ...options });
  t.after(() => client.close());
  return client;
}

export function imageOf({ host }: { readonly host: string }): Reference {
  return parseReference(`${host}/team/image:1`);
}
