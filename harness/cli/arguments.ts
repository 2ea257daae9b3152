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

/** The items named in `asked`, in the order of `known`. Throws UsageError on an unknown name, and lists the known ones. */
export function selectNamed<T extends { readonly name: string }>(
  kind: 'workload' | 'mode' | 'mount' | 'operation' | 'program' | 'subject' | 'state' | 'format' | 'face',
  known: readonly T[],
  asked: readonly string[] | undefined,
): T[] {
  if (asked === undefined) return [...known];
  const names = known.map((item) => item.name);
  const unknown = asked.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new UsageError(`unknown ${kind} '${unknown}'; ${kind}s: ${names.join(', ')}`);
  return known.filter((item) => asked.includes(item.name));
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
