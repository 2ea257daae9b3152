import {
  flag,
  type MountName,
  maxSeed,
  mounts,
  names,
  type Option,
  type OptionValues,
  optional,
  out,
  parseCommand,
  parsePath,
  stateDir,
  valued,
} from '../cli/options.ts';
import { parseLocation } from '../../snapshotter/images/location.ts';
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
import { splitWords } from '../cli/words.ts';
import { workloadOf, workloadOptions } from '../cli/workload-options.ts';
import type { SourceMount, Workload } from '../../workloads/workload.ts';

export type Command = 'bench' | 'install' | 'list' | 'help';

export interface Options {
  readonly command: Command;
  /** Undefined: all of them. Names, not checked against what exists. */
  readonly workloads: readonly string[] | undefined;
  /** The user's own image. Undefined: none. */
  readonly imported: Workload | undefined;
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
  /** One more start of each, traced, after the samples. */
  readonly timeline: boolean;
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
/** Above it TCP hardly moves, and the model is no longer near it. */
const maxLossShare = 0.1;
const commands = ['bench', 'install', 'list'] as const;

const { mount: sourceMount, ...ownWorkloadOptions } = workloadOptions;

/** `--mount fuse,erofs` names faces, `--mount SRC:DST` what a container of the user's image gets: only that has a colon. */
const mount: Option<{ readonly faces: readonly MountName[]; readonly sources: readonly SourceMount[] }> = {
  argument: 'A,B',
  help: 'how lazy layers are mounted; SRC:DST: a file or directory for the container',
  shownDefault: undefined,
  isRepeatable: true,
  parse: (texts, name) => ({
    faces: mounts([]).parse(
      texts.filter((text) => !text.includes(':')),
      name,
    ),
    sources: sourceMount.parse(
      texts.filter((text) => text.includes(':')),
      name,
    ),
  }),
};

const table = {
  workloads: names('what is run'),
  modes: names('how its image is pulled'),
  peers: optional('FILE', 'snapshotters of others', (name, text) => {
    if (text === '') throw new UsageError(`${name} needs a file`);
    return text;
  }),
  mount,
  base: optional('REF', 'another commit of this project beside it', (name, text) => {
    if (text === '' || text.startsWith('-')) throw new UsageError(`${name} needs a branch, a tag or a commit`);
    return text;
  }),
  samples: optional('N', 'of each', (name, text) => parseCount(name, text, 1, maxSamples)),
  until: optional('SHARE', 'samples until intervals are this narrow', (name, text) => parsePercent(name, text)),
  budget: optional('TIME', 'no block starts that would end later', parseBudget),
  shard: optional('I/N', 'part of the blocks', parseShard),
  timeline: flag('one traced start of each, after the samples'),
  seed: optional('N', 'order of the cells', (name, text) => parseCount(name, text, 0, maxSeed)),
  ...registryOptions,
  rtt: valued('TIME', 'round trips of the link', '30ms', (name, text) => parseList(name, text, parseDuration)),
  bandwidth: valued('RATE', 'of the link', '200mbit', (name, text) => parseList(name, text, parseBandwidth)),
  slowStart: flag('TCP starts slowly on the link'),
  loss: optional('SHARE', 'of the segments on the link', (name, text) => parsePercent(name, text, maxLossShare)),
  resume: optional('DIR', 'goes on with a run that was cut off', parsePath),
  resumeAnyway: flag('also where something is not as it was'),
  out,
  stateDir,
  dryRun: flag('prints the plan'),
  forTests: flag('install: what the tests need as well'),
  list: flag('workloads and modes'),
  image: optional('REF', 'an image to measure', parseImage),
  command: optional('WORDS', 'its arguments', splitWords),
  ...ownWorkloadOptions,
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
  const isEmulated =
    images.remote === undefined || argv.some((argument) => /^--(rtt|bandwidth|slow-start|loss)(=|$)/.test(argument));
  const tcp = values.slowStart || values.loss !== undefined ? { tcp: { lossShare: values.loss ?? 0 } } : {};
  const links = values.rtt.flatMap((rttMs) =>
    values.bandwidth.map((bandwidthMbps) => ({ rttMs, bandwidthMbps, ...tcp })),
  );
  return {
    command: values.help ? 'help' : values.list ? 'list' : command,
    workloads: values.workloads,
    imported: importedOf(values),
    modes: values.modes,
    peersPath: values.peers,
    mounts: values.mount.faces.length > 0 ? values.mount.faces : undefined,
    base: values.base,
    samples: values.samples ?? (values.until === undefined ? defaultSamples : maxSamples),
    until: values.until,
    budgetMs: values.budget,
    shard: values.shard,
    timeline: values.timeline,
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

function refuseContradictions(values: OptionValues<typeof table>): void {
  const { until, budget, shard, seed, resumeAnyway, resume, image, registry, source } = values;
  if (registry !== undefined && source.kind === 'set') {
    throw new UsageError(`--source ${source.set.name} is copied to the embedded registry: leave out --registry`);
  }
  if (shard !== undefined && seed === undefined) {
    throw new UsageError('--shard needs --seed: all parts are of one plan');
  }
  if (shard !== undefined && (until !== undefined || budget !== undefined)) {
    throw new UsageError('--shard needs a fixed number of --samples, without --until and --budget');
  }
  if (image !== undefined && registry !== undefined) {
    throw new UsageError('--image is measured from a registry here: leave out --registry');
  }
  if (resumeAnyway && resume === undefined) throw new UsageError('--resume-anyway needs --resume DIR');
}

function parseImage(option: string, text: string): string {
  try {
    parseLocation(text);
  } catch (error) {
    throw new UsageError(`${option}: ${(error as Error).message}`);
  }
  return text;
}

/** Options of a workload are refused without an image: they would change nothing. */
function importedOf(values: OptionValues<typeof table>): Workload | undefined {
  const { image, command, mount: given, ...others } = values;
  if (image !== undefined) return workloadOf(image, command, { ...others, mount: given.sources });
  const { entrypoint, user, cwd, stdin, env, readyLine, readyHttp, readyPort, readyExit, readyLimit } = others;
  const all = {
    ...{ command, entrypoint, user, cwd, stdin, env: env[0], mount: given.sources[0] },
    ...{ 'ready-line': readyLine, 'ready-http': readyHttp, 'ready-port': readyPort, 'ready-limit': readyLimit },
    'ready-exit': readyExit || undefined,
  };
  const first = Object.entries(all).find(([, value]) => value !== undefined)?.[0];
  if (first !== undefined) throw new UsageError(`--${first} is for an image of your own: name it with --image`);
  return undefined;
}
