import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { type ManifestHead, RegistryClient } from '../../snapshotter/registry/client.ts';
import { dockerConfigKeychain } from '../../snapshotter/registry/docker-keychain.ts';
import { digestOf } from '../../snapshotter/registry/digest.ts';
import { RegistryError } from '../../snapshotter/registry/error.ts';
import { type Endpoint, endpointsOf, type HostLookup } from '../../snapshotter/registry/host.ts';
import { hostsDirectory } from '../../snapshotter/registry/hosts-directory.ts';
import type { Credential } from '../../snapshotter/registry/keychain.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { HarnessError } from '../cli/error.ts';
import { explainLimit } from './allowance.ts';

/** containerd's own default, from version 2 on. */
const defaultHostsDirectory = '/etc/containerd/certs.d';

/** How registries that are not ours are reached: by containerd, by the daemons and by the harness alike. */
export interface RegistryAccess extends AsyncDisposable {
  readonly client: RegistryClient;
  /** containerd's directory of hosts.toml files; undefined where there is none. */
  readonly hostsDirectory: string | undefined;
  /** What Docker's configuration has for an image; undefined: it is pulled anonymously. */
  credentialFor(reference: string, signal: AbortSignal): Promise<Credential | undefined>;
  /** The server that an image is pulled from first. */
  endpointOf(reference: string): Endpoint;
  /**
   * What the registry says of an image, which does not count as a pull; undefined where it has none. Throws HarnessError
   * `unauthorized` where it refuses the credentials, even if it would serve anybody, and `rate-limited`.
   */
  look(reference: string, signal: AbortSignal, options?: LookOptions): Promise<ManifestHead | undefined>;
  /** Pushes some bytes that no manifest names. Throws HarnessError where that is not allowed. */
  requirePush(reference: string, signal: AbortSignal): Promise<void>;
}

export interface LookOptions {
  /** A repository that is refused does not exist yet, as registries say of those that nobody has pushed to. */
  readonly refusedIsAbsent?: boolean;
}

const requestTimeoutMs = 30_000;
/** A registry that asks for a longer wait is believed, and the operation fails. */
const maxWaitMs = 20_000;

/** Credentials are Docker's; servers and certificate authorities are those of the directory. Throws HarnessError. */
export function openAccess(directory: string | undefined, env: NodeJS.ProcessEnv = process.env): RegistryAccess {
  if (directory !== undefined && !existsSync(directory)) {
    throw new HarnessError('usage', `there is no directory ${directory}`, { remedy: 'correct --hosts-dir' });
  }
  const path = directory ?? (existsSync(defaultHostsDirectory) ? defaultHostsDirectory : undefined);
  const failures: Error[] = [];
  const onFailure = (error: Error): void => void failures.push(error);
  const hosts: HostLookup = path === undefined ? () => undefined : hostsDirectory(path, { onFailure });
  const keychain = dockerConfigKeychain({ env });
  /** The token services that have refused a credential, with the status. */
  const refusals = new Map<string, number>();
  const client = new RegistryClient({
    keychains: [keychain],
    onKeychainFailure: ({ error }) => onFailure(error as Error),
    hosts,
    requestTimeoutMs,
    retry: { maxWaitMs },
    env,
    onRequest: ({ kind, host, status = 0 }) => {
      if (kind === 'token' && status >= 400 && status < 500 && status !== 429) refusals.set(host, status);
    },
  });
  const credentialFor: RegistryAccess['credentialFor'] = async (text, signal) => {
    const reference = parseReference(text);
    return (await keychain.lookup(reference, reference.registry, signal))[0];
  };
  return {
    client,
    hostsDirectory: path,
    credentialFor,
    endpointOf(text) {
      const { registry } = parseReference(text);
      return endpointsOf(registry, requestTimeoutMs, hosts(registry))[0]!;
    },
    async look(text, signal, { refusedIsAbsent = false } = {}) {
      const reference = parseReference(text);
      const { registry } = reference;
      let head: ManifestHead | undefined;
      let error: unknown;
      try {
        head = await client.headManifest(reference, signal);
      } catch (cause) {
        signal.throwIfAborted();
        error = cause;
      }
      const [failure] = failures;
      if (failure !== undefined) throw new HarnessError('network', failure.message, { cause: failure });
      // Some services answer 403 for what does not exist yet, whoever asks.
      const refusing = [...refusals].filter(([, status]) => status === 401 || !refusedIsAbsent).map(([host]) => host);
      const credential = refusing.length === 0 ? undefined : await credentialFor(text, signal);
      // The client goes on anonymously, whose limit is another; containerd does not go on at all.
      if (credential !== undefined) throw refusedCredential(registry, credential, refusing);
      const code = error instanceof RegistryError ? error.code : undefined;
      if (code === 'not-found' || (code === 'unauthorized' && refusedIsAbsent)) return undefined;
      if (error !== undefined) throw explainLimit(registry, error);
      return head;
    },
    async requirePush(text, signal) {
      const reference = parseReference(text);
      const bytes = Buffer.from('{}');
      const open = () => Readable.from([bytes]);
      try {
        await client.pushBlob(reference, { digest: digestOf(bytes), sizeBytes: bytes.length, open }, signal);
      } catch (error) {
        signal.throwIfAborted();
        const isRefusal =
          error instanceof RegistryError && ['unauthorized', 'not-found', 'refused'].includes(error.code);
        if (!isRefusal) throw error;
        const { registry, repository } = reference;
        throw new HarnessError('unauthorized', `cannot push to ${registry}/${repository}: ${error.detail}`, {
          remedy: `docker login ${registry} as somebody who may, or name another --registry`,
          cause: error,
        });
      }
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
}

function refusedCredential(registry: string, credential: Credential, hosts: readonly string[]): HarnessError {
  const who = credential.kind === 'basic' ? ` of ${credential.username}` : '';
  return new HarnessError(
    'unauthorized',
    `${registry} refuses the credentials${who} in Docker's configuration (${hosts.join(', ')})`,
    { remedy: `docker login ${registry} again, or docker logout ${registry} to pull anonymously` },
  );
}
