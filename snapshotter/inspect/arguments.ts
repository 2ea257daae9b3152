import { parseArgs } from 'node:util';
import { invalidOption, parsePlatform } from '../convert/arguments.ts';
import { locationHelp } from '../images/location.ts';
import type { Platform } from '../registry/manifest.ts';

export interface InspectArguments {
  /** A location, or the path of a layout, an archive or a layer. */
  readonly image: string;
  readonly platform: Platform | undefined;
  readonly json: boolean;
  readonly verify: boolean;
  readonly plainHttp: boolean;
}

export const inspectHelp = `Usage: npm run inspect -- IMAGE|FILE [options]

Shows the layers of an image as a snapshotter sees them: format, TOC digest, landmark, hot ranges, chunks.

  IMAGE                 ${locationHelp}
  FILE                  a layer, an archive of docker save or the directory of an OCI image layout

  --verify              read all layers and check every digest: blobs, tars, TOCs, files, chunks
  --json                one JSON document
  --platform OS/ARCH    image to show of an index; default linux/amd64
  --plain-http          use HTTP for the registry (the default for loopback)
  --help                this text

Exit status: 0 shown, and nothing is wrong; 1 failed, or something is wrong; 2 wrong arguments; 130 interrupted.
`;

/** Undefined if --help was given. Throws ConvertError `invalid-option`. */
export function parseInspectArguments(argv: readonly string[]): InspectArguments | undefined {
  const { values, positionals } = parseStrictly(argv);
  if (values.help === true) return undefined;
  if (positionals.length !== 1) throw invalidOption(`expected one IMAGE or FILE, got ${positionals.length}`);
  return {
    image: positionals[0]!,
    platform: values.platform === undefined ? undefined : parsePlatform(values.platform),
    json: values.json === true,
    verify: values.verify === true,
    plainHttp: values['plain-http'] === true,
  };
}

function parseStrictly(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        verify: { type: 'boolean' },
        platform: { type: 'string' },
        'plain-http': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw invalidOption((error as Error).message.split('. ')[0]!);
  }
}
