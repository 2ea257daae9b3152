/** The frame of the commands on images: interrupts, exit statuses, errors as one line. */
import { ImageError } from '../images/error.ts';
import type { ImageLocation } from '../images/location.ts';
import { RegistryClient } from '../registry/client.ts';
import { dockerConfigKeychain } from '../registry/docker-keychain.ts';
import { RegistryError } from '../registry/error.ts';
import { ConvertError } from './error.ts';

export interface Command {
  readonly name: string;
  readonly help: string;
  /** What to say of what an interrupt left. */
  readonly whenInterrupted: string;
  /** Resolves with the exit status; undefined: --help was given. */
  readonly run: (argv: readonly string[], signal: AbortSignal) => Promise<number | undefined>;
}

/** Resolves with the exit status: 1 failed, 2 wrong arguments, 130 interrupted, else that of `run`. */
export async function runCommand(
  { name, help, whenInterrupted, run }: Command,
  argv: readonly string[],
): Promise<number> {
  // EPIPE from `| head` must not look like a failure.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort();
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    const status = await run(argv, interruption.signal);
    if (status === undefined) process.stdout.write(help);
    return status ?? 0;
  } catch (error) {
    if (interruption.signal.aborted) {
      process.stderr.write(`${name}: interrupted; ${whenInterrupted}\n`);
      return 130;
    }
    process.stderr.write(`${name}: ${describeFailure(error)}\n`);
    return isUsage(error) ? 2 : 1;
  }
}

/** The client for these locations, with the credentials of docker login. The caller closes it. */
export function openClient(locations: readonly (ImageLocation | undefined)[], plainHttp: boolean): RegistryClient {
  const named = locations.flatMap((one) => (one?.kind === 'registry' ? [one.reference.registry] : []));
  const hosts = plainHttp ? Object.fromEntries(named.map((name) => [name, { plainHttp }])) : {};
  return new RegistryClient({ keychains: [dockerConfigKeychain()], hosts });
}

function isUsage(error: unknown): boolean {
  if (error instanceof ConvertError) return error.code === 'invalid-option';
  if (error instanceof ImageError) return error.code === 'invalid-location';
  return error instanceof RegistryError && error.code === 'invalid-reference';
}

/** One line; file system errors get a remedy. */
function describeFailure(error: unknown): string {
  if ([ConvertError, RegistryError, ImageError].some((kind) => error instanceof kind)) return (error as Error).message;
  const { code, path, message } = error as NodeJS.ErrnoException;
  const at = path === undefined ? '' : ` ${path}`;
  switch (code) {
    case 'ENOSPC':
      return 'the disk is full; free space or name a --cache-dir on a larger one (three times the largest layer)';
    case 'ENOENT':
      return `there is no${at}; check the path`;
    case 'EACCES':
    case 'ENOTDIR':
    case 'EPERM':
    case 'EROFS':
      return `cannot write or read${at}; choose another --cache-dir or run as the owner`;
    default:
      return String(message ?? error).replace(/\s+/g, ' ');
  }
}
