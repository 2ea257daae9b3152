import { defaultWorkloads, workloads } from '../../../workloads/catalogue.ts';
import type { CatalogueWorkload } from '../../../workloads/workload.ts';
import { flag, optional, type OptionTable, parseCommand, selected, stateDir } from '../../cli/options.ts';
import { parseSize, UsageError } from '../../cli/quantity.ts';
import { type ImagesSetting, imagesSetting, registryOptions } from '../../images/registry-options.ts';
import { type Variant, variantNames } from '../../images/variants.ts';

export const commands = ['prepare', 'list', 'verify', 'prune'] as const;
export type ImagesCommand = (typeof commands)[number];

export interface ImagesOptions {
  readonly command: ImagesCommand;
  readonly workloads: readonly CatalogueWorkload[];
  readonly variants: readonly Variant[];
  readonly images: ImagesSetting;
  /** Push again what is there. */
  readonly replace: boolean;
  /** What `prune` leaves at most; undefined: all that is current. */
  readonly limitBytes: number | undefined;
  readonly dryRun: boolean;
  readonly stateDir: string;
}

const known = variantNames.map((name) => ({ name }));

export const table = {
  workloads: selected('workload', workloads, 'whose images', { defaults: defaultWorkloads, shownDefault: '@default' }),
  variants: selected('format', known, 'formats', { shownDefault: 'all' }),
  ...registryOptions,
  replace: flag('prepare: pushes again what another registry has'),
  limit: optional('SIZE', 'prune: what images, build store and caches may take: 20gb', parseSize),
  dryRun: flag('prepare, prune: says what it would do'),
  stateDir,
} satisfies OptionTable;

/** Throws UsageError. */
export function parseImagesOptions(argv: readonly string[]): ImagesOptions {
  const { values, positionals } = parseCommand(argv, table);
  const [first, extra] = positionals;
  const command = commands.find((name) => name === first);
  const unexpected = command === undefined ? first : extra;
  if (command === undefined || unexpected !== undefined) {
    const what = unexpected === undefined ? 'name a command' : `unexpected argument '${unexpected}'`;
    throw new UsageError(`${what}; commands: ${commands.join(', ')}`);
  }
  const { workloads: chosen, variants, replace, limit: limitBytes, dryRun, stateDir: directory } = values;
  return {
    command,
    // What is not named is pruned, so by default nothing that any workload uses.
    workloads: command === 'prune' && !argv.some((text) => /^--workloads(=|$)/.test(text)) ? workloads : chosen,
    variants: variants.map(({ name }) => name),
    images: imagesSetting(values),
    ...{ replace, limitBytes, dryRun, stateDir: directory },
  };
}
