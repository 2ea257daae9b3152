import { resolve } from 'node:path';
import { parse } from 'smol-toml';
import { RegistryError } from './error.ts';
import type { Capability, ClientCertificate, EndpointOptions, HostOptions, MirrorOptions } from './host.ts';
import { parseProxy } from './proxy.ts';
import { parseServerAddress } from './server-address.ts';

/** Reads a file named in hosts.toml; throws if that fails. */
export type ReadText = (path: string) => string;

/**
 * Parses hosts.toml (containerd, docs/hosts.md): the `host` tables in order, then `server` with the root's fields. Paths are
 * relative to `directory`. Unknown keys are ignored, as in containerd. Throws RegistryError `invalid-host` where containerd
 * would refuse the file; errors of `readText` pass through.
 */
export function parseHostsToml(text: string, directory: string, readText: ReadText): HostOptions {
  const place: Place = { directory, readText, file: resolve(directory, 'hosts.toml'), path: '' };
  const root = parseRoot(text, place);
  const mirrors: MirrorOptions[] = [];
  for (const [host, value] of Object.entries(tableOf(root.host ?? {}, { ...place, path: 'host' }))) {
    const inner = { ...place, path: `host."${host}"` };
    checkAddress(host, inner);
    mirrors.push({ host: withScheme(host), ...everyCapability, ...readEndpoint(tableOf(value, inner), inner) });
  }
  const server = textOf(root.server, { ...place, path: 'server' }) ?? '';
  if (server !== '') checkAddress(server, { ...place, path: 'server' });
  return { mirrors, ...readEndpoint(root, place), ...(server === '' ? {} : { server: withScheme(server) }) };
}

interface Place {
  readonly directory: string;
  readonly readText: ReadText;
  readonly file: string;
  readonly path: string;
}

const capabilities: readonly Capability[] = ['pull', 'resolve', 'push'];
/** containerd's default. */
const everyCapability = { capabilities };

function parseRoot(text: string, place: Place): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    throw invalid(place, (error as Error).message.split('\n')[0]!.replace('Invalid TOML document: ', ''));
  }
}

function readEndpoint(table: Readonly<Record<string, unknown>>, place: Place): EndpointOptions {
  const at = (name: string): Place => ({ ...place, path: place.path === '' ? name : `${place.path}.${name}` });
  const caPem = readCa(table.ca, at('ca'));
  const clientCertificates = readClient(table.client, at('client'));
  const skipVerify = flagOf(table.skip_verify, at('skip_verify'));
  const overridePath = flagOf(table.override_path, at('override_path'));
  const headers = readHeaders(table.header, at('header'));
  const named = readCapabilities(table.capabilities, at('capabilities'));
  const connectTimeoutMs = readDuration(table.dial_timeout, at('dial_timeout'));
  const proxy = readProxy(table.proxy, at('proxy'));
  return {
    ...(caPem === undefined ? {} : { caPem }),
    ...(clientCertificates === undefined ? {} : { clientCertificates }),
    ...(skipVerify === undefined ? {} : { skipVerify }),
    ...(overridePath === undefined ? {} : { overridePath }),
    ...(headers === undefined ? {} : { headers }),
    ...(named === undefined ? {} : { capabilities: named }),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

/** A path, or a list of paths. */
function readCa(value: unknown, place: Place): string | undefined {
  if (value === undefined) return undefined;
  const paths = Array.isArray(value) ? value : [value];
  return paths.map((path) => readNamed(textOf(path, place)!, place)).join('\n');
}

/** The path of a file with certificate and key, a list of such paths, or a list of pairs [certificate, key]. */
function readClient(value: unknown, place: Place): ClientCertificate[] | undefined {
  if (value === undefined) return undefined;
  const all = Array.isArray(value) ? value : [value];
  return all.map((one: unknown) => {
    const pair = Array.isArray(one) ? one : [one, ''];
    if (pair.length !== 2) throw invalid(place, 'a pair is [certificate, key]');
    const certPem = readNamed(textOf(pair[0], place)!, place);
    const key = textOf(pair[1], place)!;
    return { certPem, keyPem: key === '' ? certPem : readNamed(key, place) };
  });
}

function readNamed(path: string, { directory, readText }: Place): string {
  return readText(resolve(directory, path));
}

function readHeaders(value: unknown, place: Place): Record<string, string> | undefined {
  if (value === undefined) return undefined;
  const entries = Object.entries(tableOf(value, place)).map(([name, given]) => {
    const inner = { ...place, path: `${place.path}.${name}` };
    const values = Array.isArray(given) ? given : [given];
    return [name, values.map((text) => textOf(text, inner)).join(', ')];
  });
  return Object.fromEntries(entries);
}

/** An empty list means the default, as in containerd. */
function readCapabilities(value: unknown, place: Place): Capability[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw invalid(place, 'expected a list');
  const named = value.map((one: unknown) => {
    const name = textOf(one, place)!.toLowerCase() as Capability;
    if (!capabilities.includes(name))
      throw invalid(place, `${JSON.stringify(name)} is none of ${capabilities.join(', ')}`);
    return name;
  });
  return named.length === 0 ? undefined : named;
}

const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A duration in Go's notation: `1s`, `1m30s`, `500ms`. */
function readDuration(value: unknown, place: Place): number | undefined {
  const text = textOf(value, place) ?? '';
  if (text === '') return undefined;
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) throw invalid(place, 'expected a duration like "1m30s"');
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const durationMs = parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitsMs[unit!]!, 0);
  return Math.max(1, Math.round(durationMs));
}

function readProxy(value: unknown, place: Place): URL | undefined {
  const text = textOf(value, place) ?? '';
  if (text === '') return undefined;
  if (parseProxy(text) === undefined) throw invalid(place, 'only HTTP proxies are supported: http://host:port');
  return new URL(text);
}

/** As in containerd: without a scheme it is https, for loopback too. */
function withScheme(address: string): string {
  return address.includes('://') ? address : `https://${address}`;
}

function checkAddress(address: string, place: Place): void {
  try {
    parseServerAddress(withScheme(address));
  } catch (error) {
    throw invalid(place, (error as RegistryError).detail);
  }
}

function textOf(value: unknown, place: Place): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  throw invalid(place, 'expected a string');
}

function flagOf(value: unknown, place: Place): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalid(place, 'expected true or false');
}

function tableOf(value: unknown, place: Place): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalid(place, 'expected a table');
}

function invalid({ file, path }: Place, detail: string): RegistryError {
  const operation = `read ${file}`;
  const remedy = 'see docs/hosts.md of containerd';
  return new RegistryError('invalid-host', path === '' ? detail : `${path}: ${detail}`, { operation, remedy });
}
