import { readFileSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { type ImageLocation, parseLocation } from '../../snapshotter/images/location.ts';
import { storedName } from '../../snapshotter/images/stored-name.ts';
import type { Ready, SourceMount, Workload } from '../../workloads/workload.ts';
import { flag, optional, type Option, type OptionValues } from './options.ts';
import { parseCount, parseDuration, UsageError } from './quantity.ts';
import { splitWords } from './words.ts';

/** The options that make a workload of anybody's image: what to run, and how to see that it is ready. */
export const workloadOptions = {
  entrypoint: optional('WORDS', "instead of the image's entry point", splitWords),
  env: several('NAME=VALUE', 'added to its environment', parseVariable),
  user: optional('USER', 'a name or UID:GID', parseText),
  cwd: optional('DIR', 'its working directory', parseText),
  mount: several('SRC:DST', 'a file or directory of this machine, of which each run gets a copy', parseMount),
  stdin: optional('FILE', 'its standard input', readInput),
  readyLine: optional('REGEXP', 'ready when it prints a line that matches', parsePattern),
  readyHttp: optional('URL', 'ready when a GET in its network is answered with 2xx', parseAddress),
  readyPort: optional('PORT', 'ready when the port accepts', (name, text) => parseCount(name, text, 1, 65_535)),
  readyExit: flag('ready when it ends with status 0'),
  readyLimit: optional('TIME', 'how long that may take', (name, text) => parseDuration(name, text, maxReadyLimitMs)),
};

export type WorkloadValues = OptionValues<typeof workloadOptions>;

const maxReadyLimitMs = 3_600_000;
const defaultReadyLimitMs = 120_000;
/** Where nothing says when it is ready: long for what ends by itself, short for a server that nobody waits for. */
const assumedExitLimitMs = 30_000;
/** TaskIo writes it into a pipe before anything reads it. */
const maxInputBytes = 64 << 10;

/** Throws UsageError if options contradict each other, RegistryError or ImageError if `source` names no image. */
export function workloadOf(source: string, args: readonly string[] | undefined, values: WorkloadValues): Workload {
  const { entrypoint, user, cwd, env, mount, stdin, readyLimit } = values;
  const name = nameOf(parseLocation(source));
  const ready = readyOf(values);
  const isAssumed = ready.kind === 'exit' && ready.isAssumed === true;
  return {
    name,
    title: source,
    image: { name: `imported/${name}`, source },
    command: undefined,
    overrides: { entrypoint, args, user, cwd },
    env,
    stdin,
    mounts: mount,
    ready,
    timeoutMs: readyLimit ?? (isAssumed ? assumedExitLimitMs : defaultReadyLimitMs),
  };
}

function readyOf({ readyLine, readyHttp, readyPort, readyExit }: WorkloadValues): Ready {
  const signs: Ready[] = [
    ...(readyLine === undefined ? [] : [{ kind: 'line', pattern: readyLine } as const]),
    ...(readyHttp === undefined ? [] : [{ kind: 'http', ...readyHttp } as const]),
    ...(readyPort === undefined ? [] : [{ kind: 'port', port: readyPort } as const]),
    ...(readyExit ? [{ kind: 'exit' } as const] : []),
  ];
  if (signs.length > 1)
    throw new UsageError('only one of --ready-line, --ready-http, --ready-port and --ready-exit can be given');
  return signs[0] ?? { kind: 'exit', isAssumed: true };
}

/**
 * Short, fit for a repository, and what its user calls it: the last part of the image's name, without tag or digest. Layouts and archives are
 * asked for that name; where it is none or only a version, the directory or the file has to do.
 */
function nameOf(location: ImageLocation): string {
  const name = lastPart(writtenName(location)) || 'image';
  return (
    name
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-|-$/g, '') || 'image'
  );
}

function writtenName(location: ImageLocation): string {
  switch (location.kind) {
    case 'registry':
      return location.reference.repository;
    case 'docker-daemon':
      // An ID is cut as Docker lists it.
      return location.image.replace(/^sha256:([0-9a-f]{12})[0-9a-f]*$/, '$1');
    case 'oci':
      return nameStored(location) ?? resolve(location.directory);
    case 'docker-archive':
      return nameStored(location) ?? basename(location.path).replace(/\.(tar(\.\w+)?|tgz)$/, '');
  }
}

function nameStored(location: ImageLocation): string | undefined {
  const name = storedName(location) ?? (location.kind === 'oci' ? location.tag : undefined);
  return name === undefined || isVersion.test(name) ? undefined : name;
}

/** What stands after the colon of a name and says nothing without it. */
const isVersion = /^(v?\d[\w.+-]*|latest|stable|edge|nightly|main|master|dev)$/;

function lastPart(name: string): string {
  return basename(name).replace(/[@:].*$/, '');
}

function several<T>(argument: string, help: string, parse: (name: string, text: string) => T): Option<readonly T[]> {
  return {
    argument,
    help,
    shownDefault: undefined,
    isRepeatable: true,
    parse: (texts, name) => texts.map((text) => parse(name, text)),
  };
}

function parseText(option: string, text: string): string {
  if (text === '') throw new UsageError(`${option} needs a value`);
  return text;
}

function parseVariable(option: string, text: string): string {
  if (!/^[^=\0]+=[^\0]*$/.test(text)) throw new UsageError(`${option} needs NAME=VALUE, not '${text}'`);
  return text;
}

function parseMount(option: string, text: string): SourceMount {
  const colon = text.lastIndexOf(':');
  const [source, target] = [text.slice(0, Math.max(0, colon)), text.slice(colon + 1)];
  if (source === '' || !target.startsWith('/')) {
    throw new UsageError(`${option} needs a path here and one in the container, SRC:/DST, not '${text}'`);
  }
  if (statSync(source, { throwIfNoEntry: false }) === undefined)
    throw new UsageError(`${option}: there is no ${source}`);
  return { source: resolve(source), target };
}

function readInput(option: string, path: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UsageError(`${option}: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`);
  }
  if (bytes.length > maxInputBytes) {
    throw new UsageError(`${option}: ${path} has more than 64 KiB; give it to the container with --mount`);
  }
  return bytes.toString('utf8');
}

function parsePattern(option: string, text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UsageError(`${option} '${text}' is no regular expression: ${(error as Error).message}`);
  }
}

/** `http://localhost:8080/health`, `:8080/health`, `8080`: always in the container's own network. */
function parseAddress(option: string, text: string): { readonly port: number; readonly path: string } {
  const url = URL.parse(/^\d+(\/|$)/.test(text) ? `http://localhost:${text}` : text.replace(/^:/, 'http://localhost:'));
  const isLocal = url !== null && /^(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])$/.test(url.hostname);
  if (url?.protocol !== 'http:' || !isLocal) {
    throw new UsageError(
      `${option} needs an address in the container, such as http://localhost:8080/health, not '${text}'`,
    );
  }
  return { port: Number(url.port || 80), path: url.pathname + url.search };
}
