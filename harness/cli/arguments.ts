import { matchesGlob } from 'node:path';
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { UsageError } from './quantity.ts';

/** The default of --state-dir. */
export const defaultStateDir = '/var/lib/stargz-bench';

/** Parses a command line strictly. Throws UsageError: one line that lists what is allowed. */
export function parseArguments<const T extends ParseArgsOptionsConfig>(argv: readonly string[], definitions: T) {
  try {
    return parseArgs({ args: [...argv], options: definitions, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(explain(argv, definitions, error as Error));
  }
}

/** For programs that take options only. Throws UsageError on the first positional argument. */
export function refuseMore([first]: readonly string[]): void {
  if (first !== undefined) throw new UsageError(`unexpected argument '${first}'; options start with --`);
}

/** `a,b,a` -> a and b. Undefined stays undefined. */
export function parseNames<T extends string | undefined>(option: string, text: T): string[] | Extract<T, undefined> {
  if (text === undefined) return undefined as Extract<T, undefined>;
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new UsageError(`${option} needs names separated by commas, not '${text}'`);
  return [...new Set(names)];
}

/** What can be selected on a command line: by its name, by a pattern of names, or with all of a group as `@GROUP`. */
export interface Selectable {
  readonly name: string;
  readonly groups?: readonly string[];
}

/**
 * The items that `asked` selects, in the order of `known`: names, patterns with * and ?, `@GROUP`, `@all`. Throws UsageError
 * on what selects nothing, and lists what is known.
 */
export function selectNamed<T extends Selectable>(
  kind: 'workload' | 'mode' | 'mount' | 'operation' | 'program' | 'subject' | 'state' | 'format' | 'face',
  known: readonly T[],
  asked: readonly string[] | undefined,
): T[] {
  if (asked === undefined) return [...known];
  const selectors = asked.map((text) => ({ text, selects: parseSelector(text) }));
  const unknown = selectors.find(({ selects }) => !known.some(selects));
  if (unknown !== undefined) {
    const groups = [...new Set(known.flatMap((item) => item.groups ?? []))].map((group) => `@${group}`);
    const names = [...known.map((item) => item.name), ...(groups.length > 0 ? [...groups.sort(), '@all'] : [])];
    throw new UsageError(`unknown ${kind} '${unknown.text}'; ${kind}s: ${names.join(', ')}`);
  }
  return known.filter((item) => selectors.some(({ selects }) => selects(item)));
}

function parseSelector(text: string): (item: Selectable) => boolean {
  if (text === '@all') return () => true;
  if (text.startsWith('@')) return (item) => item.groups?.includes(text.slice(1)) === true;
  if (!/[*?]/.test(text)) return (item) => item.name === text;
  return (item) => matchesGlob(item.name, text);
}

/** Node's own message runs over several sentences and does not list what is allowed. */
function explain(
  argv: readonly string[],
  definitions: ParseArgsOptionsConfig,
  error: Error & { code?: string },
): string {
  const quoted = /'(-[^' ]*)/.exec(error.message)?.[1] ?? argv[0] ?? '';
  const name = quoted.split('=')[0]!;
  if (error.code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const allowed = Object.keys(definitions).map((option) => `--${option}`);
    return `unknown option '${name}'; options: ${allowed.join(', ')}`;
  }
  return definitions[name.replace(/^--/, '')]?.type === 'boolean' ? `${name} takes no value` : `${name} needs a value`;
}
