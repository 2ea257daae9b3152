import { parseArgs } from 'node:util';
import { type ImageLocation, parseLocation } from '../images/location.ts';
import type { Platform } from '../registry/manifest.ts';
import type { Reference } from '../registry/reference.ts';
import { invalidOption, parsePlatform } from './arguments.ts';

export interface ProfileArguments {
  readonly image: Reference;
  readonly recordPath: string;
  readonly recordedOn: ImageLocation | undefined;
  readonly platform: Platform | undefined;
  readonly plainHttp: boolean;
}

/** Of a command line with --profile-only. Throws as `parseConvertArguments` does. */
export function parseProfileArguments(argv: readonly string[]): ProfileArguments {
  const { values, positionals } = parseStrictly(argv);
  if (positionals.length !== 1) throw invalidOption(`--profile-only takes one IMAGE, got ${positionals.length} names`);
  const image = parseLocation(positionals[0]!);
  if (image.kind !== 'registry') throw invalidOption('--profile-only is for an image in a registry');
  if (values['record-in'] === undefined)
    throw invalidOption('--profile-only needs --record-in, what a run of the image read');
  return {
    image: image.reference,
    recordPath: values['record-in'],
    recordedOn: values['recorded-on'] === undefined ? undefined : parseLocation(values['recorded-on']),
    platform: values.platform === undefined ? undefined : parsePlatform(values.platform),
    plainHttp: values['plain-http'] === true,
  };
}

function parseStrictly(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        'profile-only': { type: 'boolean' },
        'record-in': { type: 'string' },
        'recorded-on': { type: 'string' },
        platform: { type: 'string' },
        'plain-http': { type: 'boolean' },
      },
    });
  } catch (error) {
    const [what] = (error as Error).message.split('. ');
    throw invalidOption(`with --profile-only: ${what}`);
  }
}
