import { authorityOf, isLoopback, parseServerAddress, type Scheme, type ServerAddress } from './server-address.ts';

/** Operations a server is trusted with (containerd's hosts.toml): fetching by digest, resolving tags, pushing. */
export type Capability = 'pull' | 'resolve' | 'push';

export interface ClientCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

/** How to connect to one server. */
export interface EndpointOptions {
  /** Does not verify certificates, and falls back to plain HTTP if the server does not speak TLS. */
  readonly insecure?: boolean;
  /** Does not verify certificates. */
  readonly skipVerify?: boolean;
  /** Plain HTTP (true) or TLS (false), without a fallback. Loopback hosts default to plain HTTP, as in containerd. */
  readonly plainHttp?: boolean;
  /** Limit for a response's head and between two pieces of its body; 0: none. */
  readonly requestTimeoutMs?: number;
  /** Limit for TCP and TLS handshakes. */
  readonly connectTimeoutMs?: number;
  /** Sent with every request to this server, and to this server only. */
  readonly headers?: Readonly<Record<string, string>>;
  /** CAs to trust beside the system's, PEM. */
  readonly caPem?: string;
  readonly clientCertificates?: readonly ClientCertificate[];
  /** Overrides the proxies of the environment, NO_PROXY included. */
  readonly proxy?: URL;
  /** The address's path is the root of the API: /v2 is not appended. */
  readonly overridePath?: boolean;
  readonly capabilities?: readonly Capability[];
}

export interface MirrorOptions extends EndpointOptions {
  /** `mirror.local:5000`, optionally with `http://` or `https://` before it and a path behind it. */
  readonly host: string;
}

export interface HostOptions extends EndpointOptions {
  /** Tried in order before the registry itself. */
  readonly mirrors?: readonly MirrorOptions[];
  /** Replaces the registry itself; written as `MirrorOptions.host`. */
  readonly server?: string;
}

/** The options of a registry, as references name it; undefined where it has none. */
export type HostLookup = (registry: string) => HostOptions | undefined;

/** How certificates are checked. Connections are shared by equal trust only. */
export type Trust =
  | 'verified'
  | 'unverified'
  | {
      readonly caPem?: string;
      readonly skipVerify?: boolean;
      readonly clientCertificates?: readonly ClientCertificate[];
    };

/** How to connect to a server, TLS aside. */
export interface Route {
  readonly connectTimeoutMs?: number;
  readonly proxy?: URL;
}

export interface Endpoint {
  /** The name credentials are filed under: the registry as people write it, or the mirror's host. */
  readonly name: string;
  /** Host and port as they stand in a URL. */
  readonly authority: string;
  /** Prefix of all API paths: `/v2`, `/proxy/v2`. */
  readonly apiPath: string;
  /** Identifies the server: its authority, with the path if that is not `/v2`. */
  readonly id: string;
  /** In the order to try them; the first that works is kept. */
  readonly schemes: readonly [Scheme, ...Scheme[]];
  readonly trust: Trust;
  readonly route: Route;
  readonly requestTimeoutMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly capabilities: ReadonlySet<Capability>;
  readonly isMirror: boolean;
  /** Adds `?ns=REGISTRY` to requests, since the server is not that registry itself. */
  readonly saysNamespace: boolean;
}

export const defaultRequestTimeoutMs = 30_000;

const everything: readonly Capability[] = ['pull', 'resolve', 'push'];

/** The registry's own server. `timeoutMs` holds where the options name none. */
export function originEndpoint(registry: string, timeoutMs: number, options: HostOptions = {}): Endpoint {
  return makeEndpoint(registry, options.server ?? registry, timeoutMs, options, false);
}

/** All servers of a registry in the order to try them: mirrors, then the registry. Throws RegistryError `invalid-host`. */
export function endpointsOf(registry: string, timeoutMs: number, options: HostOptions = {}): Endpoint[] {
  const mirrors = (options.mirrors ?? []).map((mirror) => makeEndpoint(registry, mirror.host, timeoutMs, mirror, true));
  return [...mirrors, originEndpoint(registry, timeoutMs, options)];
}

function makeEndpoint(
  registry: string,
  host: string,
  timeoutMs: number,
  options: EndpointOptions,
  isMirror: boolean,
): Endpoint {
  const address = parseServerAddress(host);
  const authority = authorityOf(address.authority);
  const apiPath = apiPathOf(address.path, options.overridePath === true);
  const isRegistryItself = authority === authorityOf(parseServerAddress(registry).authority);
  const { connectTimeoutMs, proxy } = options;
  return {
    name: isRegistryItself ? registry : address.authority,
    authority,
    apiPath,
    id: apiPath === '/v2' ? authority : `${authority}${apiPath}`,
    schemes: schemesOf(address, /:80(?:\/|$)/.test(host), options),
    trust: trustOf(options),
    route: {
      ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
      ...(proxy === undefined ? {} : { proxy }),
    },
    requestTimeoutMs: options.requestTimeoutMs ?? timeoutMs,
    headers: options.headers ?? {},
    capabilities: new Set(options.capabilities ?? (isMirror ? ['pull', 'resolve'] : everything)),
    isMirror,
    saysNamespace: !isRegistryItself,
  };
}

/** containerd's rule: /v2 is appended unless the path ends with it. */
function apiPathOf(path: string, isOverridden: boolean): string {
  return isOverridden || path.endsWith('/v2') ? path : `${path}/v2`;
}

function trustOf({ insecure, skipVerify, caPem, clientCertificates }: EndpointOptions): Trust {
  const isUnverified = insecure === true || skipVerify === true;
  if (caPem === undefined && clientCertificates === undefined) return isUnverified ? 'unverified' : 'verified';
  return {
    ...(isUnverified ? { skipVerify: true } : {}),
    ...(caPem === undefined ? {} : { caPem }),
    ...(clientCertificates === undefined ? {} : { clientCertificates }),
  };
}

function schemesOf(
  { scheme, authority }: ServerAddress,
  isPort80: boolean,
  options: EndpointOptions,
): readonly [Scheme, ...Scheme[]] {
  const { insecure, skipVerify, plainHttp, caPem, clientCertificates } = options;
  const hasTlsOptions = skipVerify !== undefined || caPem !== undefined || clientCertificates !== undefined;
  // As in containerd: http:// together with TLS options tries TLS first.
  if (scheme === 'http') return hasTlsOptions && !isPort80 ? ['https', 'http'] : ['http'];
  if (scheme === 'https') return ['https'];
  if (plainHttp !== undefined) return [plainHttp ? 'http' : 'https'];
  if (insecure === true) return ['https', 'http'];
  return [isLoopback(authority) && !hasTlsOptions ? 'http' : 'https'];
}
