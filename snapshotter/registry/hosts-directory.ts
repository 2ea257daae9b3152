import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RegistryError } from './error.ts';
import type { HostLookup, HostOptions } from './host.ts';
import { parseHostsToml } from './hosts-toml.ts';

export interface HostsDirectoryOptions {
  /** Called once per problem in a hosts.toml, which is then ignored. */
  readonly onFailure: (error: Error) => void;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

/** Files are read again after this time. containerd reads them for every pull, so changes must not need a restart. */
const maxAgeMs = 5000;

/**
 * containerd's registry configuration (`config_path` of its CRI plugin, several directories separated by `:`):
 * HOST/hosts.toml, else Docker's certificate files in HOST/, else `_default`. The lookup throws RegistryError `keychain` if
 * a certificate cannot be read.
 */
export function hostsDirectory(
  configPath: string,
  { onFailure, now = () => performance.now() }: HostsDirectoryOptions,
): HostLookup {
  const roots = configPath.split(':').filter((root) => root !== '');
  const known = new Map<string, { readonly options: HostOptions | undefined; readonly readMs: number }>();
  const reported = new Map<string, string>();
  const report = (directory: string, error: Error): void => {
    if (reported.get(directory) === error.message) return;
    reported.set(directory, error.message);
    onFailure(error);
  };
  return (registry) => {
    const entry = known.get(registry);
    if (entry !== undefined && now() - entry.readMs < maxAgeMs) return entry.options;
    const directory = findDirectory(roots, registry);
    const options = directory === undefined ? undefined : readDirectory(directory, report);
    known.set(registry, { options, readMs: now() });
    return options;
  };
}

/** The first of containerd's names that exists, in the first root that has one. */
function findDirectory(roots: readonly string[], registry: string): string | undefined {
  const names = [registry.replace(/:(\d+)$/, '_$1_'), registry, '_default'];
  return roots.flatMap((root) => names.map((name) => join(root, name))).find((path) => existsSync(path));
}

function readDirectory(directory: string, report: (directory: string, error: Error) => void): HostOptions {
  const file = join(directory, 'hosts.toml');
  const text = existsSync(file) ? readText(file) : '';
  if (text === '') return readCertificates(directory);
  try {
    return parseHostsToml(text, directory, readText);
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== 'invalid-host') throw error;
    report(directory, error);
    return readCertificates(directory);
  }
}

/** Docker's layout: *.crt are CAs, NAME.cert and NAME.key a client certificate; the key may also be in NAME.cert. */
function readCertificates(directory: string): HostOptions {
  const names = readdirSync(directory).sort();
  const read = (name: string): string => readText(join(directory, name));
  const authorities = names.filter((name) => name.endsWith('.crt')).map(read);
  const clientCertificates = names
    .filter((name) => name.endsWith('.cert'))
    .map((name) => {
      const certPem = read(name);
      const key = `${name.slice(0, -'.cert'.length)}.key`;
      return { certPem, keyPem: names.includes(key) ? read(key) : certPem };
    });
  return {
    ...(authorities.length === 0 ? {} : { caPem: authorities.join('\n') }),
    ...(clientCertificates.length === 0 ? {} : { clientCertificates }),
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code);
    throw new RegistryError('keychain', code, {
      operation: `read ${path}`,
      remedy: 'check the path and its permissions',
    });
  }
}
