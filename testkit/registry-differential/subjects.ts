import { convertImage } from '../../snapshotter/convert/image.ts';
import { distrustOnce } from '../../snapshotter/registry/blob-source.ts';
import type { RegistryClient } from '../../snapshotter/registry/client.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { digestOf, type MemoryOrigin } from '../registry-simulator/memory-origin.ts';
import type { RegistrySimulator } from '../registry-simulator/simulator.ts';
import type { Subject } from './cases.ts';
import type { Fixture } from './fixture.ts';
import { readLayerData } from './layer-data.ts';

export interface Trial {
  readonly client: RegistryClient;
  readonly registry: RegistrySimulator;
  readonly fixture: Fixture;
  readonly signal: AbortSignal;
}

/** Exercises the subject. Throws WrongResult for wrong bytes; the subject's own errors pass through. */
export const perform: Readonly<Record<Subject, (trial: Trial) => Promise<void>>> = {
  client: readAsClient,
  layer: readAsLayer,
  converter: convert,
};

/** The subject accepted wrong bytes. */
export class WrongResult extends Error {
  override readonly name = 'WrongResult';
}

/** Makes every call, even after a failure, and throws the first failure at the end. */
async function readAsClient({ client, registry, fixture, signal }: Trial): Promise<void> {
  const { layer, layerDigest, manifest } = fixture;
  const reference = parseReference(`${registry.host}/team/lazy:1`);
  const source = client.blob(reference, layerDigest);
  const calls: (() => Promise<void>)[] = [
    async () => expectEqual('manifest', (await client.fetchManifest(reference, signal)).bytes, manifest),
    async () => {
      const { tag: _none, ...named } = reference;
      const { bytes } = await client.fetchManifest({ ...named, digest: fixture.convertedDigest }, signal);
      expectEqual('manifest by digest', bytes, manifest);
    },
    async () => {
      const suffix = await readVerified(source, fixture, layer.length - 100_000, layer.length, async () => {
        const { bytes, servers } = await source.fetchSuffix(100_000, signal);
        return { bytes, servers };
      });
      expectEqual('suffix', suffix, layer.subarray(-100_000));
    },
    async () => {
      const range = await readVerified(source, fixture, 1000, 500_000, async () => {
        const servers = new Set<string>();
        const pieces: Buffer[] = [];
        const stream = source.fetchRange(1000, 500_000, signal, (server) => servers.add(server));
        for await (const piece of stream) pieces.push(Buffer.from(piece));
        return { bytes: Buffer.concat(pieces), servers };
      });
      expectEqual('range', range, layer.subarray(1000, 500_000));
    },
    async () => expectEqual('whole', await client.readBlob(reference, layerDigest, layer.length, signal), layer),
  ];
  const failures: unknown[] = [];
  for (const call of calls) await call().catch((error: unknown) => failures.push(error));
  signal.throwIfAborted();
  const wrong = failures.find((error) => error instanceof WrongResult);
  if (failures.length > 0) throw wrong ?? failures[0];
}

/** The client does not verify ranges; its reader does, and reports the servers of wrong bytes. */
async function readVerified(
  source: ReturnType<RegistryClient['blob']>,
  { layer }: Fixture,
  start: number,
  end: number,
  read: () => Promise<{ readonly bytes: Buffer; readonly servers: ReadonlySet<string> }>,
): Promise<Buffer> {
  const blamed = new Set<string>();
  for (;;) {
    const { bytes, servers } = await read();
    if (bytes.equals(layer.subarray(start, end))) return bytes;
    if (!distrustOnce(source, servers, blamed)) throw new DamageFound('damaged bytes, from everybody');
  }
}

/** The digest check of a reader failed for every server. */
export class DamageFound extends Error {
  override readonly name = 'DamageFound';
}

async function readAsLayer({ client, registry, fixture, signal }: Trial): Promise<void> {
  const data = await readLayerData(client, registry.host, fixture, signal);
  if (data !== fixture.layerData) throw new WrongResult('the data file has other content');
}

async function convert({ client, registry, fixture, signal }: Trial): Promise<void> {
  const at = (name: string) => parseReference(`${registry.host}/team/${name}:1`);
  // As a conversion whose cache remembers another repository; that may fail.
  await client.mountBlob(at('target'), fixture.plainLayerDigest, 'team/plain', signal);
  const { digest } = await convertImage(client, at('plain'), at('target'), { format: 'estargz', signal });
  if (digest !== fixture.convertedDigest) throw new WrongResult(`converted to ${digest}`);
  const { blobs, manifests } = registry.origin as MemoryOrigin;
  const stored = manifests.get('team/target:1');
  if (stored === undefined || digestOf(stored.bytes) !== digest) throw new WrongResult('the tag names something else');
  const { config, layers } = JSON.parse(stored.bytes.toString()) as {
    readonly config: { readonly digest: string };
    readonly layers: readonly { readonly digest: string }[];
  };
  for (const descriptor of [config, ...layers]) {
    if (!blobs.has(descriptor.digest)) throw new WrongResult(`the tag names ${descriptor.digest}, which is not there`);
  }
}

function expectEqual(what: string, bytes: Buffer, expected: Buffer): void {
  if (!bytes.equals(expected)) throw new WrongResult(`the ${what} has ${bytes.length} other bytes`);
}
