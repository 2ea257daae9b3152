import { isIP } from 'node:net';

/** How one server is talked to. */
export interface EndpointOptions {
  /** Certificates are not verified, and a server that turns out to speak no TLS is talked to in plain HTTP. */
  readonly insecure?: boolean;
  /** Plain HTTP (true) or TLS (false) without asking. Loopback hosts default to plain HTTP, as in containerd. */
  readonly plainHttp?: boolean;
  /** Longest wait for a response's head and between two pieces of its body; 0: no limit. */
  readonly requestTimeoutMs?: number;
  /** Sent with every request to this server, and to this server only. */
  readonly headers?: Readonly<Record<string, string>>;
  /** A CA to trust beside the system's, PEM. */
  readonly caPem?: string;
}

export interface MirrorOptions extends EndpointOptions {
  /** `mirror.local:5000`, optionally with `http://` or `https://` before it. */
  readonly host: string;
}

export interface HostOptions extends EndpointOptions {
  /** Tried in order before the registry itself; for reading only. */
  readonly mirrors?: readonly MirrorOptions[];
}

/** `verified`, `unverified`, or a PEM of a CA: each its own set of connections. */
export type Trust = 'verified' | 'unverified' | { readonly caPem: string };
export type Scheme = 'http' | 'https';

export interface Endpoint {
  /** The name credentials are filed under: the registry as people write it, or the mirror's host. */
  readonly name: string;
  /** Host and port as they stand in a URL. */
  readonly authority: string;
  /** In the order they are tried; once one has worked, it stays. */
  readonly schemes: readonly [Scheme, ...Scheme[]];
  readonly trust: Trust;
  readonly requestTimeoutMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly isMirror: boolean;
}

export const defaultRequestTimeoutMs = 30_000;

/** The registry's own server. `timeoutMs` is for who names none. */
export function originEndpoint(registry: string, timeoutMs: number, options: EndpointOptions = {}): Endpoint {
  return makeEndpoint(registry, timeoutMs, options, false);
}

/** The servers to read from, in the order to try them: mirrors, then the registry. */
export function pullEndpoints(registry: string, timeoutMs: number, options: HostOptions = {}): Endpoint[] {
  const mirrors = (options.mirrors ?? []).map((mirror) => makeEndpoint(mirror.host, timeoutMs, mirror, true));
  return [...mirrors, originEndpoint(registry, timeoutMs, options)];
}

export function isLoopback(authority: string): boolean {
  const host = hostnameOf(authority);
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

/** `[::1]:5000` -> `::1`, `localhost:5000` -> `localhost`. */
export function hostnameOf(authority: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(authority);
  return bracketed?.[1] ?? authority.replace(/:\d+$/, '');
}

function makeEndpoint(host: string, timeoutMs: number, options: EndpointOptions, isMirror: boolean): Endpoint {
  const written = /^(https?):\/\/([^/]+)\/*$/.exec(host);
  const name = written?.[2] ?? host;
  const trust: Trust =
    options.insecure === true ? 'unverified' : options.caPem === undefined ? 'verified' : { caPem: options.caPem };
  return {
    name,
    authority: name === 'docker.io' || name === 'index.docker.io' ? 'registry-1.docker.io' : name,
    schemes: schemesOf(name, written?.[1] as Scheme | undefined, options),
    trust,
    requestTimeoutMs: options.requestTimeoutMs ?? timeoutMs,
    headers: options.headers ?? {},
    isMirror,
  };
}

function schemesOf(
  name: string,
  written: Scheme | undefined,
  options: EndpointOptions,
): readonly [Scheme, ...Scheme[]] {
  if (written !== undefined) return [written];
  if (options.plainHttp !== undefined) return [options.plainHttp ? 'http' : 'https'];
  if (options.insecure === true) return ['https', 'http'];
  return [isLoopback(name) && options.caPem === undefined ? 'http' : 'https'];
}
