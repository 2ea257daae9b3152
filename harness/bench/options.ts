import { defaultStateDir, parseArguments, parseNames, refuseMore, selectNamed } from '../cli/arguments.ts';
import { parseBandwidth, parseCount, parseDuration, UsageError } from '../cli/quantity.ts';

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
  'state-dir': { type: 'string', default: defaultStateDir },
  'dry-run': { type: 'boolean', default: false },
  'for-tests': { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false, short: 'h' },
} as const;

/** Throws UsageError with one line that names what is allowed. */
export function parseOptions(argv: readonly string[]): Options {
  const { values, positionals } = parseArguments(argv, definitions);
  const [first = 'bench', ...rest] = positionals;
  refuseMore(rest);
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

/** Ways to mount, in the order of columns. */
export function parseMounts(text: string | undefined): MountName[] | undefined {
  if (text === undefined) return undefined;
  const known = mountNames.map((name) => ({ name }));
  return selectNamed('mount', known, parseNames('--mount', text)).map(({ name }) => name);
}

export function parsePath(option: string, text: string): string {
  if (text === '' || text.includes('\0')) throw new UsageError(`${option} needs a directory`);
  return text;
}
