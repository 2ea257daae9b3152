import { holdTo } from '../../../measurements/limit.ts';
import type { Columns } from '../../../measurements/table.ts';
import { defaultWorkloads, workloads } from '../../../workloads/catalogue.ts';
import { ensureWorkloadImages, imagesDisk, openTestbedRun, type TestbedRun } from '../../assembly/testbed.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { stargz } from '../../cell/modes/stargz.ts';
import { openSandbox } from '../../cell/sandbox.ts';
import {
  mountNames,
  mounts,
  type OptionValues,
  out,
  parseOptions,
  selected,
  stateDir,
  usageOf,
} from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSettingOf } from '../../run/daemon-setting.ts';
import { compareMounts } from './compare.ts';

const program = 'equality';
const about = `Compares every file of the lazily mounted workload images, stargz and eStargz, with the same images unpacked by
overlayfs`;
const table = {
  workloads: selected('workload', workloads, 'which images', { defaults: defaultWorkloads }),
  mount: mounts(mountNames),
  out,
  stateDir,
};
const lazyModes = [stargz, estargz];

/** A row of samples.csv: one image, lazily mounted, against the same unpacked. */
interface ImageComparison {
  readonly image: string;
  readonly mode: string;
  readonly mount: string;
  readonly layers: number;
  readonly entries: number;
  /** At most the first 20 are kept. */
  readonly differences: number;
  readonly shown: string | undefined;
}

const columns: Columns<ImageComparison> = {
  image: 'text',
  mode: 'text',
  mount: 'text',
  layers: 'integer',
  entries: 'integer',
  differences: 'integer',
  shown: 'text',
};

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir } = options;
  const freeBytes = await imagesDisk(options.workloads, ['stargz', 'estargz'], stateDir);
  const request = { program, argv, outDir, stateDir, daemon: daemonSettingOf(lazyModes), freeBytes };
  await using testbed = await openTestbedRun(request, signal);
  const compared = await compareAll(options, testbed, signal);
  return await conclude(
    testbed.results,
    compared.map(({ image, mode, mount, entries, differences }) =>
      holdTo(`${image} ${mode} (${mount}), ${entries} entries`, differences, 0, 'differences'),
    ),
  );
}

async function compareAll(
  { workloads, mount: backends, stateDir }: OptionValues<typeof table>,
  { registryAddress, results }: TestbedRun,
  signal: AbortSignal,
): Promise<ImageComparison[]> {
  const request = { stateDir, registryAddress, variants: ['stargz', 'estargz'] as const, onStep: say };
  const sets = await ensureWorkloadImages(workloads, request, signal);
  const file = await results.openTable('samples', columns);
  const compared: ImageComparison[] = [];
  for (const [name, set] of sets) {
    for (const mode of lazyModes) {
      for (const backend of backends) {
        const image = `${registryAddress}/${set[mode.variant]}`;
        const daemonConfig = { ...mode.daemonConfig, mount: { backend } };
        const sandbox = openSandbox(stateDir);
        const { differences, ...rest } = await compareMounts({ sandbox, registryAddress, image, daemonConfig }, signal);
        const shown = differences.length === 0 ? undefined : differences.join('; ');
        const comparison = { image: name, mode: mode.name, ...rest, differences: differences.length, shown };
        await file.append(comparison);
        compared.push(comparison);
        const verdict = differences.length === 0 ? 'equal' : 'DIFFERENT';
        say(`${name} ${mode.name} (${rest.mount}): ${rest.entries} entries in ${rest.layers} layers, ${verdict}`);
        for (const difference of differences) say(`  ${difference}`);
      }
    }
  }
  return compared;
}
