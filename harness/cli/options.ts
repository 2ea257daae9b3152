import { defaultStateDir, parseArguments, parseNames, refuseMore, type Selectable, selectNamed } from './arguments.ts';
import { parseBandwidth, parseCount, parseDuration, UsageError } from './quantity.ts';

/**
 * One table of options for all programs: what is called `--out` or `--samples` means and accepts the same in each. A program
 * lists its options by key (`stateDir` is `--state-dir`); its usage and the types of its values follow from the list.
 */
export interface Option<T> {
  /** What follows the name: `N`, `TIME`. Undefined for a flag. */
  readonly argument: string | undefined;
  readonly help: string;
  /** The default as usage shows it, if there is one to show. */
  readonly shownDefault: string | undefined;
  /** May be given several times; `parse` is called for each. */
  readonly isRepeatable?: boolean;
  /** Throws UsageError. `name` is for its message: `--samples`. */
  parse(texts: readonly string[], name: string): T;
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>;
export type OptionValues<S extends OptionTable> = {
  readonly [K in keyof S]: S[K] extends Option<infer T> ? T : never;
};

export const mountNames = ['fuse', 'erofs'] as const;
export type MountName = (typeof mountNames)[number];

/** Results go to DIR/<program>/<run-id>/ in every program. */
export const out = directory('results: DIR/<program>/<run-id>/', 'results');
export const stateDir = directory('images, registry, scratch; kept for the next run', defaultStateDir);
export const rtt = valued('TIME', 'round trip of the link: 0, 30ms, 0.1s', '30ms', parseDuration);
export const bandwidth = valued('RATE', 'of the link: 800kbit, 1gbit, unlimited', '200mbit', parseBandwidth);

/** How often each thing is measured. */
export function samples(count: number, help = 'of each'): Option<number> {
  return number(help, count, 1, 1000);
}

/** Where the program's randomness starts. */
export function seed(value: number, help: string): Option<number> {
  return number(help, value, 0, maxSeed);
}

export const maxSeed = 2 ** 32 - 1;

/** How lazy layers are mounted; each way that is named is measured. In the order of columns. */
export function mounts(defaults: readonly MountName[]): Option<readonly MountName[]> {
  const known = mountNames.map((name) => ({ name }));
  const chosen = selected('mount', known, 'how lazy layers are mounted', {
    defaults: defaults.map((name) => ({ name })),
  });
  return { ...chosen, parse: (texts, name) => chosen.parse(texts, name).map((mount) => mount.name) };
}

/** Items by name, in the order of `known`. `defaults` are all of them unless given. */
export function selected<T extends Selectable>(
  kind: Parameters<typeof selectNamed>[0],
  known: readonly T[],
  help: string,
  { defaults = known, shownDefault }: { readonly defaults?: readonly T[]; readonly shownDefault?: string } = {},
): Option<T[]> {
  return {
    argument: 'A,B',
    help,
    shownDefault: shownDefault ?? (defaults.map((item) => item.name).join(',') || 'none'),
    parse: ([text], name) => (text === undefined ? [...defaults] : selectNamed(kind, known, parseNames(name, text))),
  };
}

/** Names that are not checked here; undefined if the option is absent. */
export function names(help: string): Option<readonly string[] | undefined> {
  return { argument: 'A,B', help, shownDefault: undefined, parse: ([text], name) => parseNames(name, text) };
}

export function number(help: string, value: number, min: number, max: number): Option<number> {
  return valued('N', help, String(value), (name, text) => parseCount(name, text, min, max));
}

export function directory(help: string, path: string): Option<string> {
  return valued('DIR', help, path, parsePath);
}

export function flag(help: string): Option<boolean> {
  return { argument: undefined, help, shownDefault: undefined, parse: ([text]) => text !== undefined };
}

/** An option with a value, which has a default as it would be typed. */
export function valued<T>(
  argument: string,
  help: string,
  value: string,
  parse: (name: string, text: string) => T,
): Option<T> {
  return { argument, help, shownDefault: value, parse: ([text = value], name) => parse(name, text) };
}

/** An option with a value that may be absent. */
export function optional<T>(
  argument: string,
  help: string,
  parse: (name: string, text: string) => T,
): Option<T | undefined> {
  return {
    argument,
    help,
    shownDefault: undefined,
    parse: ([text], name) => (text === undefined ? undefined : parse(name, text)),
  };
}

/** The command line of a program that takes options only. Throws UsageError with one line that names what is allowed. */
export function parseOptions<S extends OptionTable>(argv: readonly string[], table: S): OptionValues<S> {
  const { values, positionals } = parseCommand(argv, table);
  refuseMore(positionals);
  return values;
}

/** The same with what stands between the options. */
export function parseCommand<S extends OptionTable>(
  argv: readonly string[],
  table: S,
): { readonly values: OptionValues<S>; readonly positionals: readonly string[] } {
  const definitions = Object.entries(table).map(([key, { argument, isRepeatable = false }]) => {
    const type = argument === undefined ? ('boolean' as const) : ('string' as const);
    return [optionName(key).slice(2), { type, multiple: isRepeatable, ...(key === 'help' ? { short: 'h' } : {}) }];
  });
  const parsed = parseArguments(argv, Object.fromEntries(definitions));
  const given = parsed.values as Readonly<Record<string, string | boolean | string[] | undefined>>;
  const values = Object.entries(table).map(([key, option]) => {
    const value = given[optionName(key).slice(2)];
    const texts = value === undefined ? [] : Array.isArray(value) ? value : [String(value)];
    return [key, option.parse(texts, optionName(key))];
  });
  return { values: Object.fromEntries(values) as OptionValues<S>, positionals: parsed.positionals };
}

/** What --help prints: what the program shows, how it is called, its options. */
export function usageOf(program: string, about: string, table: OptionTable): string {
  const heads = Object.entries(table).map(([key, { argument = '' }]) => `  ${optionName(key)} ${argument}`.trimEnd());
  const width = Math.max(...heads.map((head) => head.length)) + 2;
  const lines = Object.values(table).map(({ help, shownDefault }, index) => {
    const suffix = shownDefault === undefined ? '' : ` (default ${shownDefault})`;
    return `${heads[index]!.padEnd(width)}${help}${suffix}`;
  });
  return [about, `npm run ${program} -- [options]`, ...lines].join('\n');
}

export function parsePath(option: string, text: string): string {
  if (text === '' || text.includes('\0')) throw new UsageError(`${option} needs a directory`);
  return text;
}

/** `stateDir` -> `--state-dir` */
function optionName(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
