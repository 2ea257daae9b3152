import { parseArgs } from 'node:util';
import { parseBandwidth, parseCount, parseDuration, UsageError } from './quantity.ts';

export type Command = 'bench' | 'install' | 'list' | 'help';

export interface Options {
  readonly command: Command;
  /** Undefined: all of them. Names, not checked against what exists. */
  readonly workloads: readonly string[] | undefined;
  readonly modes: readonly string[] | undefined;
  /** Ways to mount lazily; with more than one, each lazy mode runs with each. Undefined: the daemon's own choice. */
  readonly mounts: readonly MountName[] | undefined;
  readonly samples: number;
  /** Undefined: drawn for this run and recorded. */
  readonly seed: number | undefined;
  readonly rttMs: number;
  /** Undefined: unlimited. */
  readonly bandwidthMbps: number | undefined;
  readonly outDir: string;
  readonly stateDir: string;
  readonly dryRun: boolean;
  readonly forTests: boolean;
}

export const mountNames = ['fuse', 'erofs'] as const;
export type MountName = (typeof mountNames)[number];

const commands = ['bench', 'install', 'list'] as const;

const definitions = {
  workloads: { type: 'string' },
  modes: { type: 'string' },
  mount: { type: 'string' },
  samples: { type: 'string', default: '3' },
  seed: { type: 'string' },
  rtt: { type: 'string', default: '30ms' },
  bandwidth: { type: 'string', default: '200mbit' },
  out: { type: 'string', default: 'results' },
  'state-dir': { type: 'string', default: '/var/lib/stargz-bench' },
  'dry-run': { type: 'boolean', default: false },
  'for-tests': { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false, short: 'h' },
} as const;

/** Throws UsageError with one line that names what is allowed. */
export function parseOptions(argv: readonly string[]): Options {
  const { values, positionals } = parseStrictly(argv);
  const [first = 'bench', ...rest] = positionals;
  if (rest.length > 0) throw new UsageError(`unexpected argument '${rest[0]}'; options start with --`);
  const command = commands.find((name) => name === first);
  if (command === undefined) throw new UsageError(`unknown command '${first}'; commands: ${commands.join(', ')}`);
  return {
    command: values.help ? 'help' : values.list ? 'list' : command,
    workloads: parseNames('--workloads', values.workloads),
    modes: parseNames('--modes', values.modes),
    mounts: parseMounts(values.mount),
    samples: parseCount('--samples', values.samples, 1, 1000),
    seed: values.seed === undefined ? undefined : parseCount('--seed', values.seed, 0, 2 ** 32 - 1),
    rttMs: parseDuration('--rtt', values.rtt),
    bandwidthMbps: parseBandwidth('--bandwidth', values.bandwidth),
    outDir: parsePath('--out', values.out),
    stateDir: parsePath('--state-dir', values['state-dir']),
    dryRun: values['dry-run'],
    forTests: values['for-tests'],
  };
}

/** The items that were asked for, in the order of `known`; an unknown name is a UsageError that lists the known ones. */
export function selectNamed<T extends { readonly name: string }>(
  kind: 'workload' | 'mode' | 'row',
  known: readonly T[],
  asked: readonly string[] | undefined,
): T[] {
  if (asked === undefined) return [...known];
  const names = known.map((item) => item.name);
  const unknown = asked.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new UsageError(`unknown ${kind} '${unknown}'; ${kind}s: ${names.join(', ')}`);
  return known.filter((item) => asked.includes(item.name));
}

function parseStrictly(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: definitions, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(explain(argv, error as Error));
  }
}

/** Node's own message runs over several sentences and does not say what is allowed. */
function explain(argv: readonly string[], error: Error & { code?: string }): string {
  const quoted = /'(-[^' ]*)/.exec(error.message)?.[1] ?? argv[0] ?? '';
  const name = quoted.split('=')[0]!;
  if (error.code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const allowed = Object.keys(definitions).map((option) => `--${option}`);
    return `unknown option '${name}'; options: ${allowed.join(', ')}`;
  }
  const definition = definitions[name.replace(/^--/, '') as keyof typeof definitions];
  return definition?.type === 'boolean' ? `${name} takes no value` : `${name} needs a value`;
}

function parseNames(option: string, text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new UsageError(`${option} needs names separated by commas, not '${text}'`);
  return [...new Set(names)];
}

function parseMounts(text: string | undefined): MountName[] | undefined {
  const asked = parseNames('--mount', text);
  const unknown = asked?.find((name) => !mountNames.some((known) => known === name));
  if (unknown !== undefined) throw new UsageError(`unknown mount '${unknown}'; mounts: ${mountNames.join(', ')}`);
  return asked && mountNames.filter((known) => asked.includes(known));
}

function parsePath(option: string, text: string): string {
  if (text === '' || text.includes('\0')) throw new UsageError(`${option} needs a directory`);
  return text;
}
