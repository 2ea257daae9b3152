import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import { RegistryError } from '../registry/error.ts';
import { parseRegistryName, parseServerAddress } from '../registry/server-address.ts';
import { type Config, type Option, type Section, sections } from './options.ts';
import { parseListenAddress } from './listen-address.ts';

export type { Config } from './options.ts';

/** An invalid configuration: the file, the key and what was expected. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly file: string;
  /** Dotted, as in `blob.chunk_size`; '' for the file as a whole. */
  readonly key: string;

  constructor(file: string, key: string, complaint: string, cause?: unknown) {
    super(`${file}: ${key === '' ? '' : `${key}: `}${complaint}`, cause === undefined ? undefined : { cause });
    this.file = file;
    this.key = key;
  }
}

export interface LoadedConfig {
  readonly config: Config;
  /** One line per unknown key and per key without effect here, to be logged. */
  readonly warnings: readonly string[];
}

/**
 * Reads config.toml. A file that the user did not name (`isOptional`) may be absent. Throws ConfigError.
 */
export function loadConfig(file: string, isOptional: boolean): LoadedConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (isOptional && (error as NodeJS.ErrnoException).code === 'ENOENT') return parseConfig('', file);
    throw new ConfigError(file, '', `cannot be read (${(error as NodeJS.ErrnoException).code}); check --config`, error);
  }
  return parseConfig(text, file);
}

export function parseConfig(text: string, file: string): LoadedConfig {
  let parsed: Record<string, unknown>;
  try {
    parsed = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split('\n')[0]!.replace('Invalid TOML document: ', '');
    throw new ConfigError(file, '', `line ${error.line}, column ${error.column}: ${reason}`, error);
  }
  const warnings: string[] = [];
  const config = readSection(sections, parsed, { file, path: '', warnings });
  return { config: config as unknown as Config, warnings };
}

interface Place {
  readonly file: string;
  readonly path: string;
  readonly warnings: string[];
}

function readSection(
  section: Section,
  given: Readonly<Record<string, unknown>>,
  place: Place,
): Record<string, unknown> {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(section, key))
      place.warnings.push(`${place.file}: ${place.path}${key} is not an option; ignored`);
  }
  const read = Object.entries(section).map(([key, expected]) => {
    const inner = { ...place, path: `${place.path}${key}` };
    const value = Object.hasOwn(given, key) ? given[key] : undefined;
    return [key, 'kind' in expected ? readOption(expected as Option, value, inner) : readTable(expected, value, inner)];
  });
  return Object.fromEntries(read);
}

function readTable(section: Section, value: unknown, place: Place): Record<string, unknown> {
  return readSection(section, requireTable(value ?? {}, place), { ...place, path: `${place.path}.` });
}

function readOption(option: Option, value: unknown, place: Place): unknown {
  switch (option.kind) {
    case 'flag':
      if (value === undefined) return option.default;
      if (typeof value !== 'boolean') throw unexpected(place, value, 'true or false');
      return value;
    case 'count': {
      const max = option.max ?? Number.MAX_SAFE_INTEGER;
      if (value === undefined) return option.default;
      if (value === 0 && option.zeroIsDefault === true) return option.default;
      if (!Number.isSafeInteger(value) || (value as number) < option.min || (value as number) > max) {
        throw unexpected(
          place,
          value,
          option.max === undefined ? `an integer of at least ${option.min}` : `an integer from ${option.min} to ${max}`,
        );
      }
      return value;
    }
    case 'text':
      if (value === undefined) return option.default;
      if (typeof value !== 'string') throw unexpected(place, value, 'a string');
      return value === '' ? option.default : value;
    case 'listen-address':
      if (value === undefined) return option.default;
      if (typeof value !== 'string' || (value !== '' && parseListenAddress(value) === undefined))
        throw unexpected(place, value, 'host:port');
      return value;
    case 'choice':
      if (value === undefined) return option.default;
      if (!option.choices.includes(value as string)) {
        throw unexpected(place, value, `one of ${option.choices.map((choice) => `"${choice}"`).join(', ')}`);
      }
      return value;
    case 'no-effect':
      if (value !== undefined && !hasType(value, option.type)) throw unexpected(place, value, typeNames[option.type]);
      if (value !== undefined)
        place.warnings.push(`${place.file}: ${place.path} has no effect in this daemon: ${option.why}`);
      return undefined;
    case 'by-registry': {
      const table = requireTable(value ?? {}, place);
      const entries = Object.entries(table).map(([name, inner]) => {
        const innerPlace = { ...place, path: `${place.path}."${name}"` };
        checkName(() => parseRegistryName(name), innerPlace);
        return [name, readTable(option.section, inner, innerPlace)];
      });
      return Object.fromEntries(entries);
    }
    case 'list':
      if (value !== undefined && !Array.isArray(value))
        throw unexpected(place, value, `a list of tables ([[${place.path}]])`);
      return ((value as unknown[] | undefined) ?? []).map((inner, index) =>
        readTable(option.section, inner, { ...place, path: `${place.path}[${index}]` }),
      );
    case 'headers':
      return readHeaders(value, place);
    case 'server-address':
      if (typeof value !== 'string') throw unexpected(place, value, 'a server (host:port, https://host/path)');
      checkName(() => parseServerAddress(value), place);
      return value;
  }
}

function checkName(parse: () => void, place: Place): void {
  try {
    parse();
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    throw new ConfigError(place.file, place.path, error.message, error);
  }
}

const typeNames = { flag: 'true or false', integer: 'an integer', text: 'a string', table: 'a table' } as const;

function hasType(value: unknown, type: keyof typeof typeNames): boolean {
  switch (type) {
    case 'flag':
      return typeof value === 'boolean';
    case 'integer':
      return Number.isSafeInteger(value);
    case 'text':
      return typeof value === 'string';
    case 'table':
      return isTable(value);
  }
}

function readHeaders(value: unknown, place: Place): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, text] of Object.entries(requireTable(value ?? {}, place))) {
    const inner = { ...place, path: `${place.path}.${name}` };
    const values = Array.isArray(text) ? text : [text];
    if (!values.every((part) => typeof part === 'string'))
      throw new ConfigError(place.file, inner.path, 'expected a string or a list of strings');
    headers[name] = values.join(', ');
  }
  return headers;
}

function requireTable(value: unknown, place: Place): Record<string, unknown> {
  if (isTable(value)) return value;
  throw unexpected(place, value, 'a table');
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function unexpected(place: Place, value: unknown, expected: string): ConfigError {
  const shown =
    value === undefined
      ? 'nothing'
      : JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? String(part) : part));
  return new ConfigError(place.file, place.path, `expected ${expected}, found ${shown.slice(0, 80)}`);
}
