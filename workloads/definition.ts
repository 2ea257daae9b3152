import { parse } from 'smol-toml';
import { WorkloadError } from './error.ts';
import { Fields } from './fields.ts';
import { type Category, categories, type Ready, type SourceMount } from './workload.ts';

/** A workload.toml, checked by itself: that the folders and images it names exist is the catalogue's to check. */
export interface Definition {
  readonly title: string;
  readonly category: Category;
  readonly hub: string | undefined;
  /** Either another folder's image as it is, or what the folder's own image/ is built on. */
  readonly image: { readonly shared: string } | { readonly base: string };
  readonly buildArguments: Readonly<Record<string, string>> | undefined;
  readonly command: readonly string[] | undefined;
  readonly env: readonly string[];
  readonly stdin: string | undefined;
  /** `source` is relative to the folder. */
  readonly mounts: readonly SourceMount[];
  readonly ready: Ready;
  readonly timeoutMs: number;
}

const defaultTimeoutSeconds = 120;

/** `file` is for messages. Throws WorkloadError. */
export function parseDefinition(text: string, file: string): Definition {
  const fields = new Fields(file, '', parseToml(text, file));
  const definition: Definition = {
    title: fields.text('title'),
    category: fields.oneOf('category', categories),
    hub: parseHub(fields),
    image: parseImage(fields),
    buildArguments: parseBuildArguments(fields, file),
    command: fields.optionalTexts('command'),
    env: parseEnv(fields),
    stdin: fields.optionalText('stdin'),
    mounts: fields.tables('mounts').map((table) => parseMount(new Fields(file, 'mounts.', table))),
    ready: parseReady(new Fields(file, 'ready.', fields.table('ready'))),
    timeoutMs: 1000 * (fields.optionalInteger('timeout_seconds', 1, 3600) ?? defaultTimeoutSeconds),
  };
  fields.finish();
  return definition;
}

function parseToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    const [first] = (error as Error).message.split('\n');
    throw new WorkloadError(file, `is not TOML: ${first}`, 'correct it (https://toml.io)');
  }
}

function parseHub(fields: Fields): string | undefined {
  const hub = fields.optionalText('hub');
  if (hub === undefined || /^[a-z0-9._/-]+:[\w.-]+$/.test(hub)) return hub;
  throw fields.invalid('hub', `is '${hub}'`, 'write name:tag, as Docker Hub has it');
}

function parseImage(fields: Fields): Definition['image'] {
  const [shared, base] = [fields.optionalText('image'), fields.optionalText('base')];
  if (shared !== undefined && base === undefined) return { shared };
  if (base !== undefined && shared === undefined) return { base };
  throw fields.invalid(
    'base',
    'or image is needed, and not both',
    'base for an image/ of its own, image for that of another',
  );
}

function parseBuildArguments(fields: Fields, file: string): Definition['buildArguments'] {
  const table = fields.optionalTable('build_args');
  if (table === undefined) return undefined;
  const values = new Fields(file, 'build_args.', table);
  return Object.fromEntries(Object.keys(table).map((name) => [name, values.text(name)]));
}

function parseEnv(fields: Fields): readonly string[] {
  const env = fields.optionalTexts('env') ?? [];
  const wrong = env.find((entry) => !/^\w+=/.test(entry));
  if (wrong !== undefined) throw fields.invalid('env', `has '${wrong}'`, 'write NAME=value');
  return env;
}

function parseMount(fields: Fields): SourceMount {
  const mount = { source: fields.text('source'), target: fields.text('target') };
  fields.finish();
  if (!mount.target.startsWith('/')) {
    throw fields.invalid('target', `is '${mount.target}'`, 'write an absolute path in the container');
  }
  return mount;
}

function parseReady(fields: Fields): Ready {
  const ready = parseReadyKind(fields);
  fields.finish();
  return ready;
}

function parseReadyKind(fields: Fields): Ready {
  const kind = fields.oneOf('kind', ['exit', 'line', 'http', 'port']);
  switch (kind) {
    case 'exit':
      return { kind, stdout: fields.text('stdout') };
    case 'line': {
      const pattern = parsePattern(fields);
      const occurrence = fields.optionalInteger('occurrence', 1, 100);
      return occurrence === undefined ? { kind, pattern } : { kind, pattern, occurrence };
    }
    case 'http': {
      const path = fields.text('path');
      if (!path.startsWith('/')) throw fields.invalid('path', `is '${path}'`, 'begin it with /');
      const [port, body] = [parsePort(fields), fields.optionalText('body')];
      return body === undefined ? { kind, port, path } : { kind, port, path, body };
    }
    case 'port':
      return { kind, port: parsePort(fields) };
  }
}

function parsePort(fields: Fields): number {
  return fields.integer('port', 1, 65_535);
}

function parsePattern(fields: Fields): RegExp {
  const text = fields.text('pattern');
  try {
    return new RegExp(text);
  } catch (error) {
    throw fields.invalid('pattern', `is no regular expression: ${(error as Error).message}`, 'correct it');
  }
}
