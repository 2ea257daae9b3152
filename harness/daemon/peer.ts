import { createHash } from 'node:crypto';
import { access, constants, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { HarnessError, lastLines } from '../cli/error.ts';
import { findCommand } from '../host/commands.ts';
import type { PackageNeed } from '../host/install.ts';

/** A snapshotter of others, as a peers file describes it: everything that is needed to run it beside ours. */
export interface Peer {
  /** Also the name of its proxy plugin in containerd. */
  readonly name: string;
  readonly title: string;
  /** A path, or a name to be found on PATH. */
  readonly program: string;
  /** How it is started, with placeholders. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What is written to {config} as TOML, whatever the variant; its strings may hold placeholders. */
  readonly config: Readonly<Record<string, unknown>>;
  /** What is added to it for single variants. */
  readonly variantConfig: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** More files, by their names in {directory}, with placeholders in their text. */
  readonly files: Readonly<Record<string, string>>;
  /** The image variants that it can pull, or that its preparation starts from. */
  readonly variants: readonly string[];
  /** Debian packages by the command that each brings. */
  readonly packages: Readonly<Record<string, string>>;
  /** How to make the program where it is not on PATH. */
  readonly build: { readonly directory: string; readonly command: readonly string[] } | undefined;
  /** Commands that make an image of its own from {source}, as {target}. */
  readonly prepare: readonly (readonly string[])[];
  /** Whether its layers must be mounted rather than downloaded. */
  readonly lazy: boolean;
  /** How many layers of an image a lazy pull may download all the same: nydus has its metadata in one. */
  readonly eagerLayers: number;
  readonly startLimitMs: number;
}

/** Placeholders of `command`, `config` and `files`. */
export const runPlaceholders = ['program', 'socket', 'root', 'config', 'directory'] as const;
/** Placeholders of `build`. */
export const buildPlaceholders = ['program'] as const;
/** Placeholders of `prepare`. */
export const preparePlaceholders = ['source', 'target', 'containerd', 'directory'] as const;

const buildLimitMs = 900_000;

/** Replaces {name} in every string of a command, a config or a text. A name that is not given is a defect, not input. */
export function fillPlaceholders<T>(value: T, values: Readonly<Record<string, string>>): T {
  if (typeof value === 'string') {
    return value.replaceAll(/\{([a-z]+)\}/g, (whole, name: string) => values[name] ?? whole) as T;
  }
  if (Array.isArray(value)) return value.map((item) => fillPlaceholders(item as unknown, values)) as T;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, fillPlaceholders(item as unknown, values)]);
  return Object.fromEntries(entries) as T;
}

/** Packages that bring it; none where its program is there. */
export async function peerPackages(peer: Peer): Promise<PackageNeed[]> {
  if ((await findPeerProgram(peer)) !== undefined) return [];
  return Object.entries(peer.packages).map(([provided, name]) => ({ package: name, provides: { command: provided } }));
}

/** Its program on this machine; undefined where it is neither at its path nor on PATH. */
export async function findPeerProgram({ program }: Peer): Promise<string | undefined> {
  if (!program.includes('/')) return await findCommand(program);
  return (await isExecutable(program)) ? program : undefined;
}

/** The same peer with the path of its program, which is built if the peer says how. Throws HarnessError. */
export async function resolvePeer(
  peer: Peer,
  { cacheDir, onStep }: { readonly cacheDir: string; readonly onStep: (detail: string) => void },
  signal: AbortSignal,
): Promise<Peer> {
  const found = await findPeerProgram(peer);
  const { program } = peer;
  if (found !== undefined) return { ...peer, program: found };
  if (peer.build === undefined || program.includes('/')) {
    throw new HarnessError('missing-command', `cannot run the peer ${peer.name}: there is no program ${program}`, {
      remedy: program.includes('/') ? 'correct its path' : 'put it on PATH, or its path into the peers file',
    });
  }
  return { ...peer, program: await buildProgram(peer.name, peer.build, { cacheDir, onStep }, signal) };
}

/** The first line of its --version; undefined if it has none. */
export async function readPeerVersion({ program }: Peer, signal: AbortSignal): Promise<string | undefined> {
  const result = await execa(program, ['--version'], {
    cancelSignal: signal,
    reject: false,
    stdin: 'ignore',
    timeout: 10_000,
  });
  signal.throwIfAborted();
  return result.failed ? undefined : result.stdout.trim().split('\n')[0] || undefined;
}

/** Built once for the content of its directory. */
async function buildProgram(
  name: string,
  { directory, command }: NonNullable<Peer['build']>,
  { cacheDir, onStep }: { readonly cacheDir: string; readonly onStep: (detail: string) => void },
  signal: AbortSignal,
): Promise<string> {
  const program = join(cacheDir, `${name}-${await hashFiles(directory, command)}`);
  if (await isExecutable(program)) return program;
  onStep(`${name}: build`);
  await mkdir(cacheDir, { recursive: true });
  const partial = `${program}.partial`;
  const [builder = '', ...args] = fillPlaceholders(command, { program: partial });
  const result = await execa(builder, args, {
    cwd: directory,
    all: true,
    cancelSignal: signal,
    reject: false,
    stdin: 'ignore',
    timeout: buildLimitMs,
  });
  signal.throwIfAborted();
  if (result.failed || !(await isExecutable(partial))) {
    await rm(partial, { force: true });
    const said = lastLines(result.all || result.shortMessage || '') || 'it left no program';
    throw new HarnessError('start', `cannot build the peer ${name}: ${said}`, {
      remedy: `run ${command.join(' ')} in ${directory} to see why, or put the program on PATH`,
    });
  }
  await rename(partial, program);
  return program;
}

async function hashFiles(directory: string, command: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(command));
  for (const name of (await readdir(directory)).sort()) hash.update(name).update(await readFile(join(directory, name)));
  return hash.digest('hex').slice(0, 12);
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
