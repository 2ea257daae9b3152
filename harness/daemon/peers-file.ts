import { readFile } from 'node:fs/promises';
import { parse, TomlError } from 'smol-toml';
import { UsageError } from '../cli/quantity.ts';
import { type Peer, preparePlaceholders, runPlaceholders } from './peer.ts';

type Table = Readonly<Record<string, unknown>>;

const defaultStartLimitS = 30;

/** Reads a peers file. Throws UsageError: one line that names the file, the peer, the key and what is allowed. */
export async function readPeers(path: string, knownVariants: readonly string[]): Promise<Peer[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`cannot read the peers file ${path} (${error.code})`);
  });
  return parsePeers(text, path, knownVariants);
}

/** `path` is for messages. */
export function parsePeers(text: string, path: string, knownVariants: readonly string[]): Peer[] {
  let file: Table;
  try {
    file = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new UsageError(`${path}:${error.line}: ${error.message.split('\n')[0]}`);
  }
  refuseUnknown(file, ['peer'], path);
  const peers = readTable(file, 'peer', path) ?? {};
  return Object.entries(peers).map(([name, value]) => {
    const at = `${path}: peer.${name}`;
    if (!/^[a-z0-9][a-z0-9-]*$/.test(name))
      throw new UsageError(`${at}: a name is lower-case letters, digits and hyphens`);
    if (!isTable(value)) throw new UsageError(`${at} is not a table`);
    return readPeer(name, value, at, knownVariants);
  });
}

const keys = [
  'title',
  'program',
  'command',
  'env',
  'config',
  'variant_config',
  'files',
  'variants',
  'packages',
  'prepare',
  'lazy',
  'eager_layers',
  'start_limit_s',
];

function readPeer(name: string, table: Table, at: string, knownVariants: readonly string[]): Peer {
  refuseUnknown(table, keys, at);
  const command = readCommand(table.command, `${at}.command`, runPlaceholders);
  const variants = readTexts(table.variants, `${at}.variants`);
  const variantConfig = readTable(table, 'variant_config', at) ?? {};
  for (const variant of [...variants, ...Object.keys(variantConfig)]) {
    if (knownVariants.includes(variant)) continue;
    throw new UsageError(`${at}: unknown variant '${variant}'; variants: ${knownVariants.join(', ')}`);
  }
  const config = readTable(table, 'config', at) ?? {};
  const files = readTextTable(table, 'files', at);
  for (const [key, value] of Object.entries({ config, variant_config: variantConfig, files })) {
    checkPlaceholders(JSON.stringify(value), `${at}.${key}`, runPlaceholders);
  }
  if (!JSON.stringify([command, config, variantConfig, files]).includes('{socket}')) {
    throw new UsageError(`${at}: nothing says where to serve; command, config or files need {socket}`);
  }
  return {
    name,
    title: readText(table.title ?? name, `${at}.title`),
    program: table.program === undefined ? command[0]! : readText(table.program, `${at}.program`),
    command: table.program === undefined ? ['{program}', ...command.slice(1)] : command,
    env: readTextTable(table, 'env', at),
    config,
    variantConfig: variantConfig as Peer['variantConfig'],
    files,
    variants,
    packages: readTextTable(table, 'packages', at),
    prepare: readCommands(table.prepare ?? [], `${at}.prepare`),
    lazy: readBoolean(table.lazy ?? true, `${at}.lazy`),
    eagerLayers: readCount(table.eager_layers ?? 0, `${at}.eager_layers`),
    startLimitMs: readCount(table.start_limit_s ?? defaultStartLimitS, `${at}.start_limit_s`) * 1000,
  };
}

function readCommands(value: unknown, at: string): string[][] {
  if (!Array.isArray(value)) throw new UsageError(`${at} needs a list of commands, each a list of strings`);
  return value.map((command, index) => readCommand(command, `${at}[${index}]`, preparePlaceholders));
}

function readCommand(value: unknown, at: string, placeholders: readonly string[]): string[] {
  const command = readTexts(value, at);
  for (const argument of command) checkPlaceholders(argument, at, placeholders);
  return command;
}

function checkPlaceholders(text: string, at: string, known: readonly string[]): void {
  for (const [placeholder, name = ''] of text.matchAll(/\{([a-z]+)\}/g)) {
    if (known.includes(name)) continue;
    const allowed = known.map((item) => `{${item}}`).join(', ');
    throw new UsageError(`${at}: unknown placeholder ${placeholder}; placeholders: ${allowed}`);
  }
}

function refuseUnknown(table: Table, known: readonly string[], at: string): void {
  const unknown = Object.keys(table).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new UsageError(`${at}: unknown key '${unknown}'; keys: ${known.join(', ')}`);
}

function readTable(parent: Table, key: string, at: string): Table | undefined {
  const value = parent[key];
  if (value === undefined) return undefined;
  if (isTable(value)) return value;
  throw new UsageError(`${at}: ${key} needs a table`);
}

function readTextTable(parent: Table, key: string, at: string): Readonly<Record<string, string>> {
  const entries = Object.entries(readTable(parent, key, at) ?? {});
  return Object.fromEntries(entries.map(([name, value]) => [name, readText(value, `${at}.${key}.${name}`)]));
}

function readTexts(value: unknown, at: string): string[] {
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')) return value;
  throw new UsageError(`${at} needs a list of strings`);
}

function readText(value: unknown, at: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new UsageError(`${at} needs a string`);
}

function readBoolean(value: unknown, at: string): boolean {
  if (typeof value === 'boolean') return value;
  throw new UsageError(`${at} needs true or false`);
}

function readCount(value: unknown, at: string): number {
  if (Number.isInteger(value) && (value as number) >= 0) return value as number;
  throw new UsageError(`${at} needs a whole number`);
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
