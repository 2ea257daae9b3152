import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistrySimulator } from '../../../testkit/registry-simulator/simulator.ts';
import { defaultWorkloads, workloads } from '../../../workloads/catalogue.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { ensureWorkloadImages, imagesDisk, openTestbedRun, type TestbedRun } from '../../assembly/testbed.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { stargz } from '../../cell/modes/stargz.ts';
import { openSandbox } from '../../cell/sandbox.ts';
import { flag, type OptionValues, out, parseOptions, seed, selected, stateDir, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSettingOf } from '../../run/daemon-setting.ts';
import type { Mode } from '../../run/mode.ts';
import { type Comparison, compareMounts } from '../equality/compare.ts';
import { type HostileRow, hostileColumns, limitsOf, toRow } from './rows.ts';
import { type HostileRun, runThrough } from './run.ts';
import {
  maxRequests,
  pullPatiently,
  roughWeather,
  startHostileRegistry,
  troubleIn,
  writeDockerConfig,
} from './weather.ts';

const program = 'hostile';
const about = `Runs the workloads against a registry that misbehaves, each first in calm and then in rough weather, and compares the
content that came through rough weather with the image unpacked from the registry itself`;
const lazyModes = [stargz, estargz];
const table = {
  workloads: selected('workload', workloads, 'what is run', { defaults: defaultWorkloads }),
  modes: selected('mode', lazyModes, 'image variants'),
  seed: seed(1, 'of the weather'),
  noCompare: flag('run only, do not compare content'),
  out,
  stateDir,
};

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir, seed } = options;
  const daemon = daemonSettingOf(options.modes);
  const freeBytes = await imagesDisk(options.workloads, ['stargz', 'estargz'], stateDir);
  const request = { program, argv, outDir, stateDir, seed, freeBytes, details: { roughWeather } };
  await using stack = new AsyncDisposableStack();
  const testbed = stack.use(await openTestbedRun({ ...request, ...(daemon === undefined ? {} : { daemon }) }, signal));
  const simulator = await startHostileRegistry(testbed.registryAddress, seed);
  stack.defer(() => simulator.close());
  const scratch = await mkdtemp(join(stateDir, 'hostile-'));
  stack.defer(() => rm(scratch, { recursive: true, force: true }));
  // The daemon finds it there, as it would find a user's.
  process.env.DOCKER_CONFIG = await writeDockerConfig(scratch, simulator.host);
  const rows = await runAll(options, testbed, simulator, signal);
  return await conclude(testbed.results, limitsOf(rows, simulator.counts.leaks));
}

async function runAll(
  { workloads, modes, stateDir, noCompare }: OptionValues<typeof table>,
  { registryAddress, results }: TestbedRun,
  simulator: RegistrySimulator,
  signal: AbortSignal,
): Promise<HostileRow[]> {
  const request = { stateDir, registryAddress, variants: ['stargz', 'estargz'] as const, onStep: say };
  const sets = await ensureWorkloadImages(workloads, request, signal);
  const file = await results.openTable('samples', hostileColumns);
  const rows: HostileRow[] = [];
  const add = async (row: HostileRow): Promise<void> => {
    rows.push(row);
    await file.append(row);
  };
  for (const workload of workloads) {
    for (const mode of modes) {
      const image = sets.get(workload.image.name)![mode.variant]!;
      const place = { workload: workload.name, mode: mode.name };
      const { calm, rough, limit } = await runInBothWeathers(simulator, { stateDir, workload, mode, image }, signal);
      await add(toRow({ ...place, weather: 'calm' }, calm));
      const compared = noCompare
        ? undefined
        : await compare(simulator, { stateDir, registryAddress, mode, image }, signal);
      const differences = compared?.differences.length;
      await add(toRow({ ...place, weather: 'rough' }, rough, { maxRequests: limit, differences }));
    }
  }
  return rows;
}

interface HostileCell {
  readonly stateDir: string;
  readonly workload: Workload;
  readonly mode: Mode;
  readonly image: string;
}

async function runInBothWeathers(
  simulator: RegistrySimulator,
  { stateDir, workload, mode, image }: HostileCell,
  signal: AbortSignal,
) {
  const sandbox = openSandbox(stateDir);
  simulator.behave({ weather: {} });
  const calm = await runThrough(simulator, sandbox, workload, image, mode, signal);
  simulator.behave({ weather: roughWeather });
  const rough = await runThrough(simulator, sandbox, workload, image, mode, signal);
  const limit = maxRequests(calm.counts, rough.counts);
  say(`${workload.name} ${mode.name}: ${describe(rough)}; ${calm.counts.requests} requests in calm weather`);
  return { calm, rough, limit };
}

async function compare(
  simulator: RegistrySimulator,
  { stateDir, registryAddress, mode, image }: Omit<HostileCell, 'workload'> & { readonly registryAddress: string },
  signal: AbortSignal,
): Promise<Comparison> {
  const comparison = await compareMounts(
    {
      sandbox: openSandbox(stateDir),
      registryAddress,
      image: `${registryAddress}/${image}`,
      lazyFrom: { registryAddress: simulator.host, image: `${simulator.host}/${image}`, pull: pullPatiently },
      daemonConfig: mode.daemonConfig!,
    },
    signal,
  );
  const { entries, layers, differences } = comparison;
  say(`  ${entries} entries in ${layers} layers, ${differences.length === 0 ? 'equal' : 'DIFFERENT'}`);
  for (const difference of differences) say(`  ${difference}`);
  return comparison;
}

function describe({ counts, pullMs, runMs }: HostileRun): string {
  const { tooManyRequests, serverErrors, resets, cuts, cdnRefused } = counts;
  return (
    `pull ${pullMs.toFixed(0)} ms, run ${runMs.toFixed(0)} ms, ${counts.requests} requests, ` +
    `${troubleIn(counts)} of them failed: ${tooManyRequests} × 429, ${serverErrors} × 503, ${resets} resets, ` +
    `${cuts} cut bodies, ${cdnRefused} expired URLs`
  );
}
