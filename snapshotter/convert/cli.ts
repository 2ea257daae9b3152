/** npm run convert -- SOURCE TARGET --format estargz --accesses FILE */
import { RegistryClient } from '../registry/client.ts';
import { dockerConfigKeychain } from '../registry/docker-keychain.ts';
import { RegistryError } from '../registry/error.ts';
import { formatReference } from '../registry/reference.ts';
import { readAccesses } from './accesses.ts';
import { type ConvertArguments, convertHelp, parseConvertArguments, withoutUndefined } from './arguments.ts';
import { ConvertError } from './error.ts';
import { type ConvertedImage, convertImage } from './image.ts';
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
    process.stdout.write(`${formatReference(image.reference)}@${image.digest}\n`);
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
  const { source, target, accessesPath, plainHttp, ...options } = parsed;
  const accesses = accessesPath === undefined ? undefined : await readAccesses(accessesPath);
  const registries = [source.registry, target.registry];
  const client = new RegistryClient({
    keychains: [dockerConfigKeychain()],
    hosts: plainHttp ? Object.fromEntries(registries.map((name) => [name, { plainHttp }])) : {},
  });
  const display = progressDisplay(process.stderr);
  try {
    const given = withoutUndefined({ ...options, accesses });
    const onNotice = (line: string): void => void process.stderr.write(`convert: ${line}\n`);
    return await convertImage(client, source, target, { ...given, onProgress: display.show, onNotice, signal });
  } finally {
    display.end();
    await client.close();
  }
}

function isUsage(error: unknown): boolean {
  if (error instanceof ConvertError) return error.code === 'invalid-option';
  return error instanceof RegistryError && error.code === 'invalid-reference';
}

/** One line; file system errors get a remedy. */
function describeFailure(error: unknown): string {
  if (error instanceof ConvertError || error instanceof RegistryError) return error.message;
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
