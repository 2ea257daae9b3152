import {
  bandwidth,
  flag,
  type MountName,
  maxSeed,
  mountNames,
  names,
  optional,
  out,
  parseCommand,
  rtt,
  samples,
  selected,
  stateDir,
} from '../cli/options.ts';
import { refuseMore } from '../cli/arguments.ts';
import { parseCount, UsageError } from '../cli/quantity.ts';

export type Command = 'bench' | 'install' | 'list' | 'help';

export interface Options {
  readonly command: Command;
  /** Undefined: all of them. Names, not checked against what exists. */
  readonly workloads: readonly string[] | undefined;
  readonly modes: readonly string[] | undefined;
  /** A file of snapshotters of others. Undefined: the one that comes with the project. */
  readonly peersPath: string | undefined;
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

const commands = ['bench', 'install', 'list'] as const;

const table = {
  workloads: names('what is run'),
  modes: names('how its image is pulled'),
  peers: optional('FILE', 'snapshotters of others', (name, text) => {
    if (text === '') throw new UsageError(`${name} needs a file`);
    return text;
  }),
  mount: selected(
    'mount',
    mountNames.map((name) => ({ name })),
    'how lazy layers are mounted',
    { defaults: [] },
  ),
  samples: samples(3),
  seed: optional('N', 'order of the cells', (name, text) => parseCount(name, text, 0, maxSeed)),
  rtt,
  bandwidth,
  out,
  stateDir,
  dryRun: flag('prints the plan'),
  forTests: flag('install: what the tests need as well'),
  list: flag('workloads and modes'),
  help: flag('usage'),
};

/** Throws UsageError with one line that names what is allowed. */
export function parseBenchOptions(argv: readonly string[]): Options {
  const { values, positionals } = parseCommand(argv, table);
  const [first = 'bench', ...rest] = positionals;
  refuseMore(rest);
  const command = commands.find((name) => name === first);
  if (command === undefined) throw new UsageError(`unknown command '${first}'; commands: ${commands.join(', ')}`);
  return {
    command: values.help ? 'help' : values.list ? 'list' : command,
    workloads: values.workloads,
    modes: values.modes,
    peersPath: values.peers,
    mounts: values.mount.length > 0 ? values.mount.map((mount) => mount.name) : undefined,
    samples: values.samples,
    seed: values.seed,
    rttMs: values.rtt,
    bandwidthMbps: values.bandwidth,
    outDir: values.out,
    stateDir: values.stateDir,
    dryRun: values.dryRun,
    forTests: values.forTests,
  };
}
