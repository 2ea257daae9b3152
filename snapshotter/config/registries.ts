import type { Config } from './config.ts';
import { describeError, type Log } from '../platform/log.ts';
import { RegistryClient } from '../registry/client.ts';
import { type CriKeychain, criKeychain } from '../registry/cri-keychain.ts';
import { dockerConfigKeychain } from '../registry/docker-keychain.ts';
import { defaultRequestTimeoutMs, type HostLookup, type HostOptions, type MirrorOptions } from '../registry/host.ts';
import { hostsDirectory } from '../registry/hosts-directory.ts';
import type { Keychain } from '../registry/keychain.ts';
import { parseRegistryName } from '../registry/server-address.ts';
import type { RequestReport } from '../registry/transport.ts';

export interface OpenedRegistry {
  readonly client: RegistryClient;
  /** Receives the kubelet's credentials, if enabled. */
  readonly criKeychain: CriKeychain | undefined;
}

/** The client for all registries; keychains in the Go daemon's order: Docker's file, Kubernetes, CRI. */
export async function openRegistry(
  config: Config,
  log: Log,
  onWrongBytes: (server: string) => void = () => {},
): Promise<OpenedRegistry> {
  const keychains: Keychain[] = [dockerConfigKeychain()];
  const { enable_keychain: useKubernetes, kubeconfig_path: kubeconfigPath } = config.kubeconfig_keychain;
  if (useKubernetes) {
    // Loaded on demand: the Kubernetes client is large.
    const { kubernetesKeychain } = await import('../registry/kubernetes-keychain.ts');
    const path = kubeconfigPath === '' ? {} : { kubeconfigPath };
    // Lookups fail only before the first list; stale data is reported here.
    const onFailure = (error: Error): void => log.warn({ error: describeError(error) }, 'image pull secrets not read');
    keychains.push(kubernetesKeychain({ ...path, onFailure }));
  }
  const cri = config.cri_keychain.enable_keychain ? criKeychain() : undefined;
  if (cri !== undefined) keychains.push(cri);
  const client = new RegistryClient({
    keychains,
    hosts: hostLookup(config, log),
    onWrongBytes({ server, operation, distrustMs }) {
      log.warn(
        { server, operation, askedLastForMs: distrustMs },
        'bytes failed their digest; other servers are asked first',
      );
      onWrongBytes(server);
    },
    requestTimeoutMs: timeoutMs(config.resolver.request_timeout_sec) ?? defaultRequestTimeoutMs,
    retry: {
      maxRetries: Math.max(0, config.blob.max_retries),
      minWaitMs: config.blob.min_wait_msec,
      maxWaitMs: config.blob.max_wait_msec,
    },
    ...(log.trace === undefined ? {} : { onRequest: traceRequests(log.trace) }),
    onKeychainFailure: ({ keychain, host, error }) =>
      log.warn({ keychain, host, error: describeError(error) }, 'keychain failed; the next is asked'),
  });
  return { client, criKeychain: cri };
}

/** The path of a blob's URL contains its digest, usually also on a CDN. */
function traceRequests(trace: NonNullable<Log['trace']>): (report: RequestReport) => void {
  return ({ path, kind, headMs, durationMs, ...fields }) => {
    const layer = kind === 'blob' ? /[0-9a-f]{64}/.exec(path)?.[0] : undefined;
    const times = { headMs: headMs && Math.round(headMs), durationMs: Math.round(durationMs) };
    trace({ layer: layer && `sha256:${layer}`, kind, path, ...fields, ...times }, 'registry request');
  };
}

/** A registry's table in config.toml takes precedence over containerd's hosts.toml. */
function hostLookup(config: Config, log: Log): HostLookup {
  const { host, config_path: configPath } = config.resolver;
  const own = new Map(
    Object.entries(host).map(([registry, { mirrors }]): [string, HostOptions] => [
      parseRegistryName(registry),
      { mirrors: mirrors.map(mirrorOptions) },
    ]),
  );
  const onFailure = (error: Error): void =>
    log.warn({ error: describeError(error) }, 'hosts.toml not used; the registry itself is asked');
  const files = configPath === '' ? undefined : hostsDirectory(configPath, { onFailure });
  return (registry) => own.get(registry) ?? files?.(registry);
}

function mirrorOptions(mirror: Config['resolver']['host'][string]['mirrors'][number]): MirrorOptions {
  const { host, insecure, header: headers } = mirror;
  const requestTimeoutMs = timeoutMs(mirror.request_timeout_sec);
  return { host, insecure, headers, ...(requestTimeoutMs === undefined ? {} : { requestTimeoutMs }) };
}

/** `request_timeout_sec` as the Go daemon reads it: 0 inherits, negative is no limit. */
function timeoutMs(seconds: number): number | undefined {
  if (seconds === 0) return undefined;
  return seconds < 0 ? 0 : seconds * 1000;
}
