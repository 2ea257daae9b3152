import { access, constants } from 'node:fs/promises';
import { execa } from 'execa';
import { HarnessError } from '../cli/error.ts';
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
/** Placeholders of `prepare`. */
export const preparePlaceholders = ['source', 'target', 'containerd', 'directory'] as const;

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

/** The same peer with the path of its program. Throws HarnessError where there is none. */
export async function resolvePeer(peer: Peer): Promise<Peer> {
  const found = await findPeerProgram(peer);
  if (found !== undefined) return { ...peer, program: found };
  const { name, program } = peer;
  throw new HarnessError('missing-command', `cannot run the peer ${name}: there is no program ${program}`, {
    remedy: program.includes('/') ? 'correct its path' : 'put it on PATH, or its path into the peers file',
  });
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

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
