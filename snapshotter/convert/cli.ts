/** npm run convert -- SOURCE TARGET --format estargz --accesses FILE */
import { mkdir } from 'node:fs/promises';
import { ImageError } from '../images/error.ts';
import type { ImageSource } from '../images/image.ts';
import { formatLocation, type ImageLocation } from '../images/location.ts';
import { openSource, openTarget } from '../images/open.ts';
import { RegistryClient } from '../registry/client.ts';
import { dockerConfigKeychain } from '../registry/docker-keychain.ts';
import { RegistryError } from '../registry/error.ts';
import { readAccesses } from './accesses.ts';
import { type ConvertArguments, convertHelp, parseConvertArguments, withoutUndefined } from './arguments.ts';
import { ConvertError } from './error.ts';
import { type ConvertedImage, convertFrom } from './image.ts';
import { progressDisplay } from './progress-display.ts';

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort();
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    const parsed = parseConvertArguments(argv);
    if (parsed === undefined) {
      process.stdout.write(convertHelp);
      return 0;
    }
    const image = await convert(parsed, interruption.signal);
    process.stdout.write(`${formatLocation(parsed.target)}@${image.digest}\n`);
    return 0;
  } catch (error) {
    if (interruption.signal.aborted) {
      process.stderr.write('convert: interrupted; nothing was tagged\n');
      return 130;
    }
    process.stderr.write(`convert: ${describeFailure(error)}\n`);
    return isUsage(error) ? 2 : 1;
  }
}

async function convert(parsed: ConvertArguments, signal: AbortSignal): Promise<ConvertedImage> {
  const { source, target, recordedOn, accessesPath, plainHttp, ...options } = parsed;
  const accesses = accessesPath === undefined ? undefined : await readAccesses(accessesPath);
  await using resources = new AsyncDisposableStack();
  const client = new RegistryClient({
    keychains: [dockerConfigKeychain()],
    hosts: plainHttp ? plainHosts([source, target, recordedOn]) : {},
  });
  resources.defer(() => client.close());
  const from = async (location: ImageLocation): Promise<ImageSource> => {
    const opened = await openSource(location, { client, scratch: options.cacheDir }, signal);
    resources.defer(() => opened.close());
    return opened;
  };
  if (options.cacheDir !== undefined) await mkdir(options.cacheDir, { recursive: true });
  const to = await openTarget(target, { client, scratch: options.cacheDir });
  resources.defer(() => to.close());
  const display = progressDisplay(process.stderr);
  resources.defer(async () => display.end());
  const recorded = recordedOn === undefined ? undefined : await from(recordedOn);
  return await convertFrom(await from(source), to, {
    ...withoutUndefined({ ...options, accesses, recordedOn: recorded }),
    onProgress: display.show,
    onNotice: (line) => void process.stderr.write(`convert: ${line}\n`),
    signal,
  });
}

function plainHosts(locations: readonly (ImageLocation | undefined)[]): Record<string, { readonly plainHttp: true }> {
  const named = locations.flatMap((one) => (one?.kind === 'registry' ? [one.reference.registry] : []));
  return Object.fromEntries(named.map((name) => [name, { plainHttp: true }]));
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
