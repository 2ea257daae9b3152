import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { RegistryError } from './error.ts';
import { hostnameOf, isLoopback } from './server-address.ts';

/** A forward proxy; its URL never contains the credentials. */
export interface ProxyServer {
  /** `http:`, or `https:` where the proxy itself speaks TLS. */
  readonly url: URL;
  readonly authorization: string | undefined;
}

/** The proxy for a request to `url`, undefined for none. Throws RegistryError if the setting is invalid. */
export type ProxyChoice = (url: URL, operation: string) => ProxyServer | undefined;

/**
 * HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case, as containerd and other Go programs read them
 * (golang.org/x/net/http/httpproxy), so that one setting serves the node: no ALL_PROXY, HTTPS_PROXY alone for https, never
 * for loopback.
 */
export function proxyChoice(env: NodeJS.ProcessEnv): ProxyChoice {
  const settings = { 'http:': readSetting(env, 'HTTP_PROXY'), 'https:': readSetting(env, 'HTTPS_PROXY') };
  const exemptions = (variable(env, 'NO_PROXY') ?? '').split(',').flatMap((part) => readExemption(part) ?? []);

  return (url, operation) => {
    const setting = settings[url.protocol as keyof typeof settings];
    if (setting === undefined || isLoopback(url.host)) return undefined;
    const host = hostnameOf(url.host);
    const port = url.port === '' ? defaultPorts[url.protocol as keyof typeof settings] : url.port;
    if (exemptions.some((exemption) => (exemption.port ?? port) === port && exemption.covers(host))) return undefined;
    if (setting.proxy !== undefined) return setting.proxy;
    throw new RegistryError('refused', `${setting.name} of the environment is not the URL of an HTTP proxy`, {
      operation,
      host: url.host,
      remedy: 'set it to http://host:port, or name the host in NO_PROXY',
    });
  };
}

const defaultPorts = { 'http:': '80', 'https:': '443' };

interface Setting {
  readonly name: string;
  /** Undefined if the value is not a proxy's URL. */
  readonly proxy: ProxyServer | undefined;
}

function variable(env: NodeJS.ProcessEnv, name: string): string | undefined {
  return env[name] || env[name.toLowerCase()] || undefined;
}

function readSetting(env: NodeJS.ProcessEnv, name: string): Setting | undefined {
  const value = variable(env, name);
  if (value === undefined) return undefined;
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(value);
  return { name, proxy: parseProxy(hasScheme ? value : `http://${value}`) };
}

/** `http://user:password@proxy:8080`; undefined for what is not the URL of an HTTP proxy. */
export function parseProxy(text: string): ProxyServer | undefined {
  if (!URL.canParse(text)) return undefined;
  const given = new URL(text);
  if (given.protocol !== 'http:' && given.protocol !== 'https:') return undefined;
  const url = new URL(`${given.protocol}//${given.host}`);
  if (given.username === '' && given.password === '') return { url, authorization: undefined };
  try {
    const credentials = `${decodeURIComponent(given.username)}:${decodeURIComponent(given.password)}`;
    return { url, authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
  } catch {
    return undefined;
  }
}

interface Exemption {
  /** Undefined: any port. */
  readonly port: string | undefined;
  covers(host: string): boolean;
}

/** `*`, an address, a network (CIDR), a domain with its subdomains, or `.name` and `*.name` for subdomains only. */
function readExemption(part: string): Exemption | undefined {
  const entry = part.trim().toLowerCase();
  if (entry === '') return undefined;
  if (entry === '*') return { port: undefined, covers: () => true };

  const [, network = '', prefix = ''] = /^(.+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (isIP(network) !== 0) return { port: undefined, covers: addressMatcher(network, Number(prefix)) };

  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(entry) ?? [];
  const host = bracketed ?? plain ?? entry;
  if (isIP(host) !== 0) return { port, covers: addressMatcher(host) };
  const isBelowOnly = host.startsWith('*.') || host.startsWith('.');
  const name = domainToASCII(host.replace(/^\*?\./, ''));
  if (name === '') return undefined;
  return { port, covers: (asked) => asked.endsWith(`.${name}`) || (asked === name && !isBelowOnly) };
}

function addressMatcher(address: string, prefix?: number): (host: string) => boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  if ((prefix ?? 0) > (family === 'ipv6' ? 128 : 32)) return () => false;
  const list = new BlockList();
  if (prefix === undefined) list.addAddress(address, family);
  else list.addSubnet(address, prefix, family);
  return (host) => isIP(host) !== 0 && list.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4');
}
