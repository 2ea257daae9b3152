import { mkdir } from 'node:fs/promises';
import type { ImageSource } from '../images/image.ts';
import { formatLocation, type ImageLocation } from '../images/location.ts';
import { openSource, openTarget } from '../images/open.ts';
import { formatReference } from '../registry/reference.ts';
import { readAccesses } from './accesses.ts';
import { type ConvertArguments, parseConvertArguments, withoutUndefined } from './arguments.ts';
import { openClient } from './command.ts';
import { type ConvertedImage, convertFrom } from './image.ts';
import { type PublishedProfile, publishProfile } from './profile.ts';
import { type ProfileArguments, parseProfileArguments } from './profile-arguments.ts';
import { progressDisplay } from './progress-display.ts';

/** What `convert` does for this command line. Resolves with the exit status; undefined: --help was given. */
export async function runConvert(argv: readonly string[], signal: AbortSignal): Promise<number | undefined> {
  if (argv.includes('--profile-only') && !argv.includes('--help')) {
    const parsed = parseProfileArguments(argv);
    const { digest } = await publish(parsed, signal);
    process.stdout.write(`${formatReference({ ...parsed.image, digest })}\n`);
    return 0;
  }
  const parsed = parseConvertArguments(argv);
  if (parsed === undefined) return undefined;
  const { digest } = await convert(parsed, signal);
  process.stdout.write(`${formatLocation(parsed.target)}@${digest}\n`);
  return 0;
}

async function convert(parsed: ConvertArguments, signal: AbortSignal): Promise<ConvertedImage> {
  const { source, target, recordedOn, recordPath, plainHttp, ...options } = parsed;
  const accesses = recordPath === undefined ? undefined : await readAccesses(recordPath);
  await using resources = new AsyncDisposableStack();
  const client = openClient([source, target, recordedOn], plainHttp);
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

async function publish(parsed: ProfileArguments, signal: AbortSignal): Promise<PublishedProfile> {
  const { image, recordPath, recordedOn, platform, plainHttp } = parsed;
  const accesses = await readAccesses(recordPath);
  await using resources = new AsyncDisposableStack();
  const client = openClient([{ kind: 'registry', reference: image }, recordedOn], plainHttp);
  resources.defer(() => client.close());
  const recorded = recordedOn === undefined ? undefined : await openSource(recordedOn, { client }, signal);
  resources.defer(async () => recorded?.close());
  return await publishProfile(client, image, {
    ...withoutUndefined({ accesses, recordedOn: recorded, platform }),
    onNotice: (line) => void process.stderr.write(`convert: ${line}\n`),
    signal,
  });
}
