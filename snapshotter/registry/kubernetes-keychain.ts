import type { Informer, V1Secret } from '@kubernetes/client-node';
import { untilAborted } from '../platform/abort.ts';
import { type AuthEntry, matchAuths, parseSecretJson, readAuths } from './auth-file.ts';
import { RegistryError } from './error.ts';
import type { Keychain } from './keychain.ts';

export interface KubernetesKeychainOptions {
  /** Default: `$KUBECONFIG`, ~/.kube/config, then the service account of the pod we run in. */
  readonly kubeconfigPath?: string;
  /** Limit for lookups to wait for the first list, from the start of the keychain. */
  readonly syncLimitMs?: number;
  /** Between attempts to reach the API server; doubles up to 30 s. */
  readonly retryMs?: number;
  /** The API server is unreachable, or a secret cannot be read. */
  readonly onFailure?: (error: RegistryError) => void;
}

export interface KubernetesKeychain extends Keychain {
  close(): Promise<void>;
}

const defaultSyncLimitMs = 5_000;
const maxRetryMs = 30_000;
const secretType = 'kubernetes.io/dockerconfigjson';
const secretKey = '.dockerconfigjson';

/**
 * Every image pull secret of the cluster, listed once and then watched. The Kubernetes client costs some 80 MiB of
 * memory, so only this file loads it. Synced secrets stay in use while the API server is unreachable.
 */
export function kubernetesKeychain(options: KubernetesKeychainOptions = {}): KubernetesKeychain {
  const sync = new SecretSync(options);
  return {
    name: 'kubernetes',
    async lookup(reference, host, signal) {
      await sync.ready(signal);
      return matchAuths(sync.entries(), host, reference.repository).map((entry) => entry.credential);
    },
    close: () => sync.close(),
  };
}

/** Owns the watch on the API server. */
class SecretSync {
  readonly #options: KubernetesKeychainOptions;
  readonly #secrets = new Map<string, readonly AuthEntry[]>();
  readonly #firstSync = Promise.withResolvers<void>();
  readonly #deadline: NodeJS.Timeout;
  #informer: Informer<V1Secret> | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #retryMs: number;
  #isSynced = false;
  #isClosed = false;
  #failure: RegistryError | undefined;

  constructor(options: KubernetesKeychainOptions) {
    this.#options = options;
    this.#retryMs = options.retryMs ?? 1000;
    this.#deadline = setTimeout(() => this.#firstSync.resolve(), options.syncLimitMs ?? defaultSyncLimitMs);
    this.#deadline.unref();
    void this.#start();
  }

  /** After the first list, or its time limit; throws when there was none. */
  async ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#isSynced) await untilAborted(this.#firstSync.promise, signal);
    if (!this.#isSynced) throw this.#failure ?? failureOf('the secrets have not been listed yet');
  }

  /** Sorted by namespace and name, so that the order of two secrets for one registry is stable. */
  entries(): AuthEntry[] {
    return [...this.#secrets.keys()].sort().flatMap((key) => this.#secrets.get(key) ?? []);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#retryTimer);
    this.#firstSync.resolve();
    await this.#informer?.stop();
  }

  async #start(): Promise<void> {
    try {
      const { KubeConfig, CoreV1Api, ListWatch, Watch } = await import('@kubernetes/client-node');
      if (this.#isClosed) return;
      const config = new KubeConfig();
      if (this.#options.kubeconfigPath === undefined) config.loadFromDefault();
      else config.loadFromFile(this.#options.kubeconfigPath);
      const api = config.makeApiClient(CoreV1Api);
      const fieldSelector = `type=${secretType}`;
      const list = async () => {
        const secrets = await api.listSecretForAllNamespaces({ fieldSelector });
        this.#replaceAll(secrets.items);
        return secrets;
      };
      const watch = new Watch(config);
      const informer = new ListWatch('/api/v1/secrets', watch, list, false, undefined, fieldSelector);
      informer.on('change', (secret) => this.#keep(secret));
      informer.on('delete', (secret) => void this.#secrets.delete(keyOf(secret)));
      informer.on('error', (error) => this.#fail(error));
      this.#informer = informer;
      await informer.start();
      // close() was called while the watch started, and had nothing to stop yet.
      if (this.#isClosed) await informer.stop();
    } catch (error) {
      this.#fail(error);
    }
  }

  #replaceAll(secrets: readonly V1Secret[]): void {
    this.#secrets.clear();
    for (const secret of secrets) this.#keep(secret);
    this.#isSynced = true;
    this.#retryMs = this.#options.retryMs ?? 1000;
    clearTimeout(this.#deadline);
    this.#firstSync.resolve();
  }

  #keep(secret: V1Secret): void {
    if (secret.type !== secretType) return;
    const source = `secret ${keyOf(secret)}`;
    const text = Buffer.from(secret.data?.[secretKey] ?? '', 'base64').toString();
    try {
      this.#secrets.set(keyOf(secret), readAuths(parseSecretJson(text, source).auths, source));
    } catch (error) {
      // A malformed secret must not hide the others.
      this.#secrets.delete(keyOf(secret));
      this.#options.onFailure?.(error as RegistryError);
    }
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    this.#failure = failureOf(describe(error));
    this.#options.onFailure?.(this.#failure);
    void this.#informer?.stop();
    this.#informer = undefined;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => void this.#start(), this.#retryMs);
    this.#retryTimer.unref();
    this.#retryMs = Math.min(maxRetryMs, this.#retryMs * 2);
  }
}

function keyOf(secret: V1Secret): string {
  return `${secret.metadata?.namespace ?? ''}/${secret.metadata?.name ?? ''}`;
}

/** The status or code only: the client's messages contain response bodies and headers. */
function describe(error: unknown): string {
  const { code, statusCode, cause } = error as { code?: unknown; statusCode?: unknown; cause?: { code?: unknown } };
  const what = statusCode ?? code ?? cause?.code;
  if (what !== undefined) return `the API server cannot be asked (${String(what)})`;
  return error instanceof Error ? `${error.name}: ${error.message.split('\n')[0]?.slice(0, 200)}` : 'unknown failure';
}

function failureOf(detail: string): RegistryError {
  return new RegistryError('keychain', detail, {
    operation: 'watch the image pull secrets of Kubernetes',
    remedy: 'check the kubeconfig and the right to list and watch secrets',
  });
}
