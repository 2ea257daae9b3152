import { pseudoRandomBytes } from '../../../testkit/random.ts';
import { RegistryClient, type RegistryClientOptions } from '../client.ts';
import { type Digest, digestOf } from '../digest.ts';
import type { Credential, Keychain } from '../keychain.ts';
import { parseReference, type Reference } from '../reference.ts';
import type { Clock } from '../retry.ts';
import type { RequestReport } from '../transport.ts';
import {
  type SimulatorOptions,
  type RegistrySimulator,
  startRegistrySimulator,
} from '../../../testkit/registry-simulator/simulator.ts';

/** Time limit of one test. */
export const limit = { timeout: 30_000 } as const;

export interface StoredBlob {
  readonly registry: Pick<RegistrySimulator, 'host' | 'close'>;
  readonly repository: string;
  readonly content: Buffer;
  readonly digest: Digest;
}

/** A registry that holds one blob of pseudo-random bytes. */
export async function startRegistryWithBlob(sizeBytes: number): Promise<StoredBlob> {
  const content = pseudoRandomBytes(sizeBytes, 1);
  const registry = await startRegistrySimulator({ content: { blobs: [content] } });
  return { registry, repository: 'team/image', content, digest: digestOf(content) };
}

export interface Session {
  readonly simulator: RegistrySimulator;
  readonly client: RegistryClient;
  readonly reference: Reference;
  readonly reports: readonly RequestReport[];
}

/** A simulator in front of the registry and a client of it, both closed after `use`. */
export async function withSimulator(
  stored: StoredBlob,
  behaviour: Omit<SimulatorOptions, 'upstream'>,
  client: RegistryClientOptions | ((simulator: RegistrySimulator) => RegistryClientOptions),
  use: (session: Session) => Promise<void>,
): Promise<void> {
  const simulator = await startRegistrySimulator({ ...behaviour, upstream: stored.registry.host });
  const reports: RequestReport[] = [];
  const options = typeof client === 'function' ? client(simulator) : client;
  const made = new RegistryClient({ ...options, onRequest: (report) => void reports.push(report) });
  try {
    await use({
      simulator,
      client: made,
      reference: parseReference(`${simulator.host}/${stored.repository}`),
      reports,
    });
  } finally {
    await made.close();
    await simulator.close();
  }
}

/** A keychain that returns the same for every host and counts its lookups. */
export function fixedKeychain(...credentials: readonly Credential[]): Keychain & { lookups: number } {
  return {
    name: 'fixed',
    lookups: 0,
    async lookup() {
      this.lookups++;
      return credentials;
    },
  };
}

/** A clock that records its sleeps instead of sleeping. */
export function recordingClock(): Clock & { readonly sleepsMs: number[] } {
  const sleepsMs: number[] = [];
  return {
    sleepsMs,
    now: Date.now,
    async sleep(durationMs, signal) {
      signal.throwIfAborted();
      sleepsMs.push(durationMs);
    },
  };
}

export async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

export async function* inPieces(bytes: Buffer, pieceBytes = 65_536): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += pieceBytes) yield bytes.subarray(offset, offset + pieceBytes);
}
