import { parseArgs } from 'node:util';
import { convertHelp, convertOptions, parseConvertArguments } from '../../snapshotter/convert/arguments.ts';
import { formatLocation } from '../../snapshotter/images/location.ts';
import type { Workload } from '../../workloads/workload.ts';
import { flag, optional, parseOptions, parsePath } from '../cli/options.ts';
import { UsageError } from '../cli/quantity.ts';
import { workloadOf, workloadOptions } from '../cli/workload-options.ts';

const table = {
  optimize: flag('records what a run reads, and converts with that'),
  recordOut: optional('FILE', 'keeps the record', parsePath),
  stateDir: optional('DIR', 'where the recording runs', parsePath),
  ...workloadOptions,
};

export const optimizeHelp = `${convertHelp}
       npm run convert -- SOURCE TARGET --optimize [options] [-- ARGUMENT...]

Runs SOURCE on this machine until it is ready, on the snapshotter and a containerd of its own, as root; records what it reads; converts with
that. ARGUMENT... and --entrypoint are what they are to docker run.

  --record-out FILE     keep the record, for --record-in
  --ready-line REGEXP   ready when it prints such a line; --ready-http URL or --ready-port PORT: when it answers in the container's
                        network; --ready-exit: when it ends (default, for at most 30s)
  --ready-limit TIME    how long that may take; default 120s
  --entrypoint WORDS, --env NAME=VALUE, --user USER, --cwd DIR, --mount SRC:DST (a copy), --stdin FILE
  --state-dir DIR       where the recording runs; default: below --cache-dir, else the system's temporary directory
`;

export interface OptimizeArguments {
  readonly workload: Workload;
  readonly recordOut: string | undefined;
  /** Undefined: the default. */
  readonly stateDir: string | undefined;
  /** The command line of the conversion, without the record. */
  readonly convertArgv: readonly string[];
}

/** Undefined: nothing is to be recorded. Throws UsageError, and what parseConvertArguments throws. */
export function parseOptimizeArguments(argv: readonly string[]): OptimizeArguments | undefined {
  const { own, convertArgv, rest } = splitArguments(argv);
  const isAsked = own.includes('--optimize');
  if (!isAsked && own.length === 0 && rest === undefined) return undefined;
  if (!isAsked) throw new UsageError(`${own[0] ?? 'what follows --'} is for --optimize`);
  const { recordOut, stateDir, optimize: _, ...values } = parseOptions(own, table);
  const parsed = parseConvertArguments(convertArgv);
  if (parsed === undefined) return undefined;
  const { recordPath, format, source } = parsed;
  if (recordPath !== undefined) throw new UsageError('--optimize records anew: leave out --record-in');
  if (format === 'stargz')
    throw new UsageError('--optimize is for estargz and zstd-chunked: leave out --format stargz');
  const workload = workloadOf(formatLocation(source), rest, values);
  return { workload, recordOut, stateDir, convertArgv };
}

interface Split {
  /** The options of this file, as they were typed. */
  readonly own: readonly string[];
  readonly convertArgv: readonly string[];
  /** What follows `--`. */
  readonly rest: readonly string[] | undefined;
}

function splitArguments(argv: readonly string[]): Split {
  const end = argv.indexOf('--');
  const before = end < 0 ? argv : argv.slice(0, end);
  const own = Object.entries(table).map(([key, { argument }]) => [nameOf(key), argument !== undefined] as const);
  const types = own.map(([name, hasValue]) => [name, { type: hasValue ? ('string' as const) : ('boolean' as const) }]);
  const options = { ...Object.fromEntries(types), ...convertOptions };
  const { tokens } = parseArgs({ args: [...before], options, strict: false, allowPositionals: true, tokens: true });
  const split = { own: [] as string[], convert: [] as string[] };
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    const isOwn = token.kind === 'option' && own.some(([name]) => name === token.name);
    const words = before.slice(
      token.index,
      token.index + (token.kind === 'option' && token.inlineValue === false ? 2 : 1),
    );
    split[isOwn ? 'own' : 'convert'].push(...words);
  }
  return { own: split.own, convertArgv: split.convert, rest: end < 0 ? undefined : argv.slice(end + 1) };
}

/** `recordOut` -> `record-out` */
function nameOf(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
