import {
  flag,
  type MountName,
  maxSeed,
  mountNames,
  names,
  optional,
  type OptionValues,
  out,
  parseCommand,
  parsePath,
  selected,
  stateDir,
  valued,
} from '../cli/options.ts';
import { refuseMore } from '../cli/arguments.ts';
import { type ImagesSetting, imagesSetting, registryOptions } from '../images/registry-options.ts';
import {
  parseBandwidth,
  parseBudget,
  parseCount,
  parseDuration,
  parseList,
  parsePercent,
  parseShard,
  type Shard,
  UsageError,
} from '../cli/quantity.ts';
import type { LinkSetting } from '../../measurements/environment.ts';

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
  /** Another commit of this project: each mode of ours runs with its daemon, too. */
  readonly base: string | undefined;
  /** How many blocks are measured, at most. */
  readonly samples: number;
  /** How narrow the interval of each speed-up must be before the last of them, as a share; undefined: all are measured. */
  readonly until: number | undefined;
  readonly budgetMs: number | undefined;
  /** Which blocks; undefined: all. */
  readonly shard: Shard | undefined;
  /** Undefined: drawn for this run and recorded. */
  readonly seed: number | undefined;
  /** Which images, and from where. */
  readonly images: ImagesSetting;
  /** Every round trip with every bandwidth. One undefined: none is emulated, as over another registry unless asked for. */
  readonly links: readonly (LinkSetting | undefined)[];
  /** The directory of a run to go on with. */
  readonly resume: string | undefined;
  /** Goes on also where something is not as it was. */
  readonly resumeAnyway: boolean;
  readonly outDir: string;
  readonly stateDir: string;
  readonly dryRun: boolean;
  readonly forTests: boolean;
}

const defaultSamples = 3;
const maxSamples = 1000;
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
  base: optional('REF', 'another commit of this project beside it', (name, text) => {
    if (text === '' || text.startsWith('-')) throw new UsageError(`${name} needs a branch, a tag or a commit`);
    return text;
  }),
  samples: optional('N', 'of each', (name, text) => parseCount(name, text, 1, maxSamples)),
  until: optional('SHARE', 'samples until intervals are this narrow', parsePercent),
  budget: optional('TIME', 'no block starts that would end later', parseBudget),
  shard: optional('I/N', 'part of the blocks', parseShard),
  seed: optional('N', 'order of the cells', (name, text) => parseCount(name, text, 0, maxSeed)),
  ...registryOptions,
  rtt: valued('TIME', 'round trips of the link', '30ms', (name, text) => parseList(name, text, parseDuration)),
  bandwidth: valued('RATE', 'of the link', '200mbit', (name, text) => parseList(name, text, parseBandwidth)),
  resume: optional('DIR', 'goes on with a run that was cut off', parsePath),
  resumeAnyway: flag('also where something is not as it was'),
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
  refuseContradictions(values);
  const images = imagesSetting(values);
  const isEmulated = images.remote === undefined || argv.some((argument) => /^--(rtt|bandwidth)(=|$)/.test(argument));
  const links = values.rtt.flatMap((rttMs) => values.bandwidth.map((bandwidthMbps) => ({ rttMs, bandwidthMbps })));
  return {
    command: values.help ? 'help' : values.list ? 'list' : command,
    workloads: values.workloads,
    modes: values.modes,
    peersPath: values.peers,
    mounts: values.mount.length > 0 ? values.mount.map((mount) => mount.name) : undefined,
    base: values.base,
    samples: values.samples ?? (values.until === undefined ? defaultSamples : maxSamples),
    until: values.until,
    budgetMs: values.budget,
    shard: values.shard,
    seed: values.seed,
    images,
    links: isEmulated ? links : [undefined],
    resume: values.resume,
    resumeAnyway: values.resumeAnyway,
    outDir: values.out,
    stateDir: values.stateDir,
    dryRun: values.dryRun,
    forTests: values.forTests,
  };
}

function refuseContradictions({ until, budget, shard, seed, resumeAnyway, resume }: OptionValues<typeof table>): void {
  if (shard !== undefined && seed === undefined) {
    throw new UsageError('--shard needs --seed: all parts are of one plan');
  }
  if (shard !== undefined && (until !== undefined || budget !== undefined)) {
    throw new UsageError('--shard needs a fixed number of --samples, without --until and --budget');
  }
  if (resumeAnyway && resume === undefined) throw new UsageError('--resume-anyway needs --resume DIR');
}
