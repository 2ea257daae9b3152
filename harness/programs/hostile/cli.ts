import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistrySimulator } from '../../../testkit/registry-simulator/simulator.ts';
import { defaultWorkloads, workloads } from '../../../workloads/catalogue.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { defaultStateDir, parseFlags, parseNames, selectNamed } from '../../cli/arguments.ts';
import { openSandbox } from '../../cell/sandbox.ts';
import { writeRecords } from '../../run/csv.ts';
import { type Comparison, compareMounts } from '../equality/compare.ts';
import { modes } from '../../cell/modes/catalogue.ts';
import type { Mode } from '../../run/mode.ts';
import { parsePath } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { parseCount } from '../../cli/quantity.ts';
import { ensureWorkloadImages, imagesBytes, openTestbed } from '../../assembly/testbed.ts';
import { type HostileRun, runThrough } from './run.ts';
import {
  maxRequests,
  pullPatiently,
  roughWeather,
  startHostileRegistry,
  troubleIn,
  writeDockerConfig,
} from './weather.ts';

const usage = `Runs the workloads against a registry that misbehaves, each first in calm and then in rough weather, and compares the
content that came through rough weather with the image unpacked from the registry itself: npm run hostile -- [options]
  --workloads a,b       which workloads to run         (default: the default workloads)
  --modes a,b           stargz, estargz                (default: both)
  --seed N              seed of the weather            (default 1)
  --no-compare          run only, do not compare
  --out FILE.csv        write one row per run
  --state-dir DIR       images and registry data       (default ${defaultStateDir})`;

await runProgram({ name: 'hostile', usage, run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = readOptions(argv);
  const { stateDir } = options;
  await using stack = new AsyncDisposableStack();
  const { registryAddress } = stack.use(await openTestbed({ stateDir, freeBytes: imagesBytes }, signal));
  const request = { stateDir, registryAddress, variants: ['stargz', 'estargz'] as const, onStep: say };
  const sets = await ensureWorkloadImages(options.workloads, request, signal);
  const simulator = await startHostileRegistry(registryAddress, options.seed);
  stack.defer(() => simulator.close());
  const scratch = await mkdtemp(join(stateDir, 'hostile-'));
  stack.defer(() => rm(scratch, { recursive: true, force: true }));
  // The daemon finds it there, as it would find a user's.
  process.env.DOCKER_CONFIG = await writeDockerConfig(scratch, simulator.host);

  const rows: ReturnType<typeof toRecord>[] = [];
  let good = true;
  for (const workload of options.workloads) {
    for (const mode of options.modes) {
      const image = sets.get(workload.image.name)![mode.variant]!;
      const { calm, rough, isBounded } = await runInBothWeathers(
        simulator,
        { stateDir, workload, mode, image },
        signal,
      );
      const comparison = options.isCompared
        ? await compare(simulator, { stateDir, registryAddress, mode, image }, signal)
        : undefined;
      good &&= isBounded && (comparison?.differences.length ?? 0) === 0;
      rows.push(
        toRecord([workload.name, mode.name, 'calm'], calm),
        toRecord([workload.name, mode.name, 'rough'], rough, comparison?.differences),
      );
    }
  }
  if (simulator.counts.leaks > 0) {
    say(`credentials were sent to the CDN ${simulator.counts.leaks} times`);
    good = false;
  }
  if (options.out !== undefined) await writeRecords(options.out, rows);
  return good;
}

function readOptions(argv: readonly string[]) {
  const values = parseFlags(argv, {
    workloads: { type: 'string' },
    modes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    'no-compare': { type: 'boolean', default: false },
    'state-dir': { type: 'string', default: defaultStateDir },
    out: { type: 'string' },
  });
  const asked = parseNames('--workloads', values.workloads);
  const lazyModes = modes.filter((mode) => mode.snapshotter === 'stargz');
  return {
    workloads: asked === undefined ? defaultWorkloads : selectNamed('workload', workloads, asked),
    modes: selectNamed('mode', lazyModes, parseNames('--modes', values.modes)),
    seed: parseCount('--seed', values.seed, 0, 2 ** 32 - 1),
    isCompared: !values['no-compare'],
    stateDir: parsePath('--state-dir', values['state-dir']),
    out: values.out,
  };
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
  const isBounded = rough.counts.requests <= limit;
  say(
    `${workload.name} ${mode.name}: ${describe(rough)}; ${calm.counts.requests} requests in calm weather, at most ${limit} allowed` +
      `${isBounded ? '' : '\n  TOO MANY REQUESTS'}`,
  );
  return { calm, rough, isBounded };
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

function toRecord(
  [workload, mode, weather]: readonly [string, string, string],
  { counts, pullMs, runMs }: HostileRun,
  differences?: readonly string[],
) {
  return {
    workload,
    mode,
    weather,
    pull_ms: pullMs,
    run_ms: runMs,
    requests: counts.requests,
    retried: troubleIn(counts),
    too_many_requests: counts.tooManyRequests,
    server_errors: counts.serverErrors,
    resets: counts.resets,
    cuts: counts.cuts,
    expired_urls: counts.cdnRefused,
    unauthorized: counts.unauthorized,
    differences: differences?.length,
  };
}
