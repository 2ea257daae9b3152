import { type Option, optional, parsePath, valued } from '../cli/options.ts';
import { parseRegistry, type RemoteRegistry } from '../registry/remote.ts';
import { type ImageOrigin, parseOrigin, parseTags, type Tags } from './published.ts';

/** Which images, and where they are pulled from. */
export interface ImagesSetting {
  /** Undefined: the registry that the harness starts. */
  readonly remote: RemoteRegistry | undefined;
  readonly origin: ImageOrigin;
  readonly tags: Tags;
  /** containerd's directory of hosts.toml files. Undefined: /etc/containerd/certs.d where it exists. */
  readonly hostsDirectory: string | undefined;
}

const noTags: Tags = new Map();

/** The same in every program that takes images from registries. */
export const registryOptions = {
  registry: valued(
    'REGISTRY',
    'embedded, docker.io/NAMESPACE, ghcr.io/NAMESPACE, HOST/NAMESPACE',
    'embedded',
    parseRegistry,
  ),
  source: valued('SOURCE', 'of the original images: debian, official, REGISTRY/NAMESPACE', 'debian', parseOrigin),
  tags: optional('A=TAG,B=TAG', "tags in place of the workloads' own", parseTags),
  hostsDir: optional('DIR', "containerd's hosts.toml files, for mirrors and private CAs", parsePath),
} as const satisfies Record<string, Option<unknown>>;

export function imagesSetting(values: {
  readonly registry: RemoteRegistry | undefined;
  readonly source: ImageOrigin;
  readonly tags: Tags | undefined;
  readonly hostsDir: string | undefined;
}): ImagesSetting {
  const { registry: remote, source: origin, tags = noTags, hostsDir: hostsDirectory } = values;
  return { remote, origin, tags, hostsDirectory };
}

export const embeddedImages: ImagesSetting = {
  remote: undefined,
  origin: { kind: 'debian' },
  tags: noTags,
  hostsDirectory: undefined,
};
