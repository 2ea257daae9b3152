import type { Config } from './config.ts';
import type { Log } from './log.ts';
import { RegistryClient } from './registry/client.ts';
import { type CriKeychain, criKeychain } from './registry/cri-keychain.ts';
import { dockerConfigKeychain } from './registry/docker-keychain.ts';
import type { HostOptions } from './registry/host.ts';
import type { Keychain } from './registry/keychain.ts';
import { oneLine } from './service/status.ts';

export interface OpenedRegistry {
  readonly client: RegistryClient;
  /** Where credentials from the kubelet are to be put, if they are wanted. */
  readonly criKeychain: CriKeychain | undefined;
}

/** The client for every registry, with the keychains in the reference's order: Docker's file, Kubernetes, CRI. */
export async function openRegistry(config: Config, log: Log): Promise<OpenedRegistry> {
  const keychains: Keychain[] = [dockerConfigKeychain()];
  const { enable_keychain: useKubernetes, kubeconfig_path: kubeconfigPath } = config.kubeconfig_keychain;
  if (useKubernetes) {
    // Loaded on demand: the Kubernetes client is large.
    const { kubernetesKeychain } = await import('./registry/kubernetes-keychain.ts');
    keychains.push(kubernetesKeychain(kubeconfigPath === '' ? {} : { kubeconfigPath }));
  }
  const cri = config.cri_keychain.enable_keychain ? criKeychain() : undefined;
  if (cri !== undefined) keychains.push(cri);
  const client = new RegistryClient({
    keychains,
    hosts: hostOptions(config),
    retry: {
      maxRetries: config.blob.max_retries,
      minWaitMs: config.blob.min_wait_msec,
      maxWaitMs: config.blob.max_wait_msec,
    },
    onKeychainFailure: ({ keychain, host, error }) =>
      log.warn({ keychain, host, error: oneLine(error) }, 'keychain failed; the next is asked'),
  });
  return { client, criKeychain: cri };
}

function hostOptions(config: Config): Record<string, HostOptions> {
  const defaultTimeoutMs = config.resolver.request_timeout_sec * 1000;
  const entries = Object.entries(config.resolver.host).map(([host, { mirrors }]): [string, HostOptions] => [
    host,
    {
      requestTimeoutMs: defaultTimeoutMs,
      mirrors: mirrors.map((mirror) => ({
        host: mirror.host,
        insecure: mirror.insecure,
        requestTimeoutMs: timeoutMs(mirror.request_timeout_sec, defaultTimeoutMs),
        headers: mirror.header,
      })),
    },
  ]);
  return Object.fromEntries(entries);
}

function timeoutMs(seconds: number, defaultMs: number): number {
  if (seconds < 0) return 0;
  return seconds === 0 ? defaultMs : seconds * 1000;
}
