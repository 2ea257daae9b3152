import { parseArgs } from 'node:util';
import { type ImageLocation, locationHelp, parseLocation, parseTarget } from '../images/location.ts';
import type { Platform } from '../registry/manifest.ts';
import { ConvertError } from './error.ts';
import { type LayerFormat, layerFormats } from './format.ts';
import { checkOptions } from './layer.ts';

export interface ConvertArguments {
  readonly source: ImageLocation;
  readonly target: ImageLocation;
  readonly format: LayerFormat;
  readonly level: number | undefined;
  readonly chunkSizeBytes: number | undefined;
  readonly minChunkSizeBytes: number | undefined;
  readonly recordPath: string | undefined;
  readonly prefetch: readonly string[] | undefined;
  readonly recordedOn: ImageLocation | undefined;
  readonly cacheDir: string | undefined;
  readonly reuse: boolean;
  readonly parallelism: number | undefined;
  readonly platform: Platform | undefined;
  readonly allPlatforms: boolean;
  readonly plainHttp: boolean;
}

export const convertHelp = `Usage: npm run convert -- SOURCE TARGET [options]
       npm run convert -- --profile-only --record-in FILE IMAGE

Converts an image so that it can run before it is fully pulled, and writes it as TARGET. With --profile-only, publishes what a run
of an image that was converted without --record-in read, beside it in its registry: daemons then prefetch just that.

  SOURCE, TARGET        ${locationHelp}

  --format FORMAT       estargz (default), stargz or zstd-chunked
  --record-in FILE      what a run of the image read, to be placed first and prefetched: JSON lines
                        {"layer":DIGEST,"path":PATH,"offset":BYTES,"size":BYTES}; without offset and size: the whole file
  --prefetch GLOB       files to prefetch as well, such as 'srv/model/**'; may be given several times
  --recorded-on REF     the image FILE was recorded on, if it is neither SOURCE nor a conversion kept in --cache-dir
  --level N             compression level; default 6 (1 to 9, zstd-chunked 1 to 19)
  --chunk-size SIZE     maximum chunk size; default 4MiB (4KiB to 64MiB)
  --min-chunk-size SIZE let small files share a member up to this size; default 0: off (readers before v0.13 cannot)
  --cache-dir DIR       keep converted layers, so that layers shared by images are converted once; default: not kept
  --reuse               keep layers that are in FORMAT already and of which --record-in says nothing, byte for byte
  --parallelism N       members compressed at a time; default: one per processor. The bytes are the same
  --platform OS/ARCH    image to convert from an index; default linux/amd64
  --all-platforms       convert every image of an index
  --profile-only        convert nothing: publish FILE as the access profile of IMAGE, in place of an earlier one; takes
                        --record-in, --recorded-on, --platform and --plain-http
  --plain-http          use HTTP for the registries of SOURCE and TARGET (the default for loopback)
  --help                this text

Credentials are taken from docker login. Exit status: 0 converted, 1 failed, 2 wrong arguments, 130 interrupted.
`;

/** Undefined if --help was given. Throws ConvertError `invalid-option`, RegistryError `invalid-reference` or ImageError `invalid-location`. */
export function parseConvertArguments(argv: readonly string[]): ConvertArguments | undefined {
  const { values, positionals } = parseStrictly(argv);
  if (values.help === true) return undefined;
  if (positionals.length !== 2) {
    throw invalidOption(`expected SOURCE and TARGET, got ${positionals.length} names`);
  }
  const format = layerFormats.find((known) => known === (values.format ?? 'estargz'));
  if (format === undefined)
    throw invalidOption(`unknown format ${quote(values.format)}: one of ${layerFormats.join(', ')}`);
  const target = parseTarget(positionals[1]!);
  if (values.platform !== undefined && values['all-platforms'] === true) {
    throw invalidOption('--platform and --all-platforms exclude each other');
  }
  if (values['record-in'] !== undefined && format === 'stargz') {
    throw invalidOption('--record-in is for estargz and zstd-chunked: the stargz format has no prefetch landmark');
  }
  if (values.prefetch !== undefined && format === 'stargz') {
    throw invalidOption('--prefetch is for estargz and zstd-chunked: the stargz format has no prefetch landmark');
  }
  const parsed: ConvertArguments = {
    source: parseLocation(positionals[0]!),
    target,
    format,
    level: values.level === undefined ? undefined : parseCount('--level', values.level),
    chunkSizeBytes: parseSize('--chunk-size', values['chunk-size']),
    minChunkSizeBytes: parseSize('--min-chunk-size', values['min-chunk-size']),
    recordPath: values['record-in'],
    prefetch: values.prefetch,
    recordedOn: values['recorded-on'] === undefined ? undefined : parseLocation(values['recorded-on']),
    cacheDir: values['cache-dir'],
    reuse: values.reuse === true,
    parallelism: values.parallelism === undefined ? undefined : parseCount('--parallelism', values.parallelism),
    platform: values.platform === undefined ? undefined : parsePlatform(values.platform),
    allPlatforms: values['all-platforms'] === true,
    plainHttp: values['plain-http'] === true,
  };
  checkOptions(withoutUndefined({ format, level: parsed.level, ...sizesOf(parsed) }));
  return parsed;
}

/** Drops undefined fields, which exactOptionalPropertyTypes distinguishes from absent ones. */
export function withoutUndefined<T extends object>(record: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as never;
}

function sizesOf({ chunkSizeBytes, minChunkSizeBytes }: ConvertArguments) {
  return { chunkSizeBytes, minChunkSizeBytes };
}

/** Which of them take a value is what splits a command line that has options of others as well. */
export const convertOptions = {
  format: { type: 'string' },
  'record-in': { type: 'string' },
  prefetch: { type: 'string', multiple: true },
  'recorded-on': { type: 'string' },
  level: { type: 'string' },
  'chunk-size': { type: 'string' },
  'min-chunk-size': { type: 'string' },
  'cache-dir': { type: 'string' },
  reuse: { type: 'boolean' },
  parallelism: { type: 'string' },
  platform: { type: 'string' },
  'all-platforms': { type: 'boolean' },
  'plain-http': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

function parseStrictly(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], allowPositionals: true, options: convertOptions });
  } catch (error) {
    // The first sentence of Node's message names the option; the rest is about its parser.
    throw invalidOption((error as Error).message.split('. ')[0]!);
  }
}

function parseCount(option: string, text: string): number {
  if (!/^\d{1,3}$/.test(text)) throw invalidOption(`${option} ${quote(text)} is not a number`);
  return Number(text);
}

const units: Readonly<Record<string, number>> = { '': 1, k: 1 << 10, m: 1 << 20 };

function parseSize(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,12})\s*([km]?)(?:i?b)?$/i.exec(text);
  if (match === null) throw invalidOption(`${option} ${quote(text)} is not a size: write 65536, 64KiB or 4MiB`);
  return Number(match[1]) * units[match[2]!.toLowerCase()]!;
}

export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/');
  if (!os || !architecture || rest.length > 0)
    throw invalidOption(`--platform ${quote(text)} is not OS/ARCH or OS/ARCH/VARIANT`);
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

export function invalidOption(what: string): ConvertError {
  return new ConvertError('invalid-option', `${what} (see --help)`);
}

function quote(text: string | undefined): string {
  return JSON.stringify(text);
}
