import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LinkSetting } from '../../../measurements/environment.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { workloads } from '../../../workloads/catalogue.ts';
import { ensureWorkloadImages, imagesDisk, openTestbedRun, type TestbedRun } from '../../assembly/testbed.ts';
import { modes } from '../../cell/modes/catalogue.ts';
import { openSandbox } from '../../cell/sandbox.ts';
import { parseNames } from '../../cli/arguments.ts';
import {
  bandwidth,
  out,
  type OptionValues,
  parseOptions,
  rtt,
  samples,
  selected,
  stateDir,
  usageOf,
  valued,
} from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { parseCount } from '../../cli/quantity.ts';
import { startLink } from '../../link/link.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSettingOf } from '../../run/daemon-setting.ts';
import { pushLayeredImage, pushSplitImage, splitGroups, splitRepository } from './images.ts';
import { measurePull } from './measure.ts';
import {
  limitMsOf,
  limitsOf,
  pullSummaryColumns,
  type PullTiming,
  pullTimingColumns,
  splitLimitsOf,
  summarizePulls,
} from './summary.ts';

const program = 'bench:pull';
const about = `The pull phase of the lazy modes, held to 12 round trips and 10 ms a layer, and what it costs that the same files lie in
more layers`;
const lazyModes = modes.filter((mode) => mode.snapshotter === 'stargz');
const table = {
  layers: valued('N,N', 'images of so many small layers', '2,10,40', (name, text) =>
    parseNames(name, text).map((count) => parseCount(name, count, 2, 120)),
  ),
  split: valued('N,N', `images of the same files in so many layers, the fewest first`, '2,32', (name, text) =>
    parseNames(name, text).map((count) => parseCount(name, count, 2, splitGroups + 1)),
  ),
  workloads: selected('workload', workloads, 'the images of these as well', { defaults: [] }),
  modes: selected('mode', lazyModes, 'how they are pulled'),
  samples: samples(5),
  rtt,
  bandwidth,
  out,
  stateDir,
};
type Options = OptionValues<typeof table>;

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir } = options;
  const link = { rttMs: options.rtt, bandwidthMbps: options.bandwidth };
  const daemon = daemonSettingOf(options.modes);
  const variants = options.modes.map(({ variant }) => variant);
  const freeBytes = await imagesDisk(options.workloads, variants, stateDir);
  const request = { program, argv, outDir, stateDir, link, daemon, freeBytes };
  await using testbed = await openTestbedRun(request, signal);
  const { results } = testbed;
  const timings = await measureAll(options, link, testbed, signal);
  const summary = summarizePulls(timings);
  await results.writeTable('summary', pullSummaryColumns, summary);
  return await conclude(results, [...limitsOf(summary), ...splitLimitsOf(timings, options.split.map(splitRepository))]);
}

interface PulledRepository {
  readonly name: string;
  tagOf(variant: string): string;
}

async function measureAll(
  options: Options,
  setting: LinkSetting,
  { registryAddress, results }: TestbedRun,
  signal: AbortSignal,
): Promise<PullTiming[]> {
  const repositories = [
    ...(await pushLayered(options, registryAddress, signal)),
    ...(await ensureWorkloads(options, registryAddress, signal)),
  ];
  const { rttMs } = setting;
  await using stack = new AsyncDisposableStack();
  const link = await startLink({ target: registryAddress, ...setting });
  stack.defer(() => link.close());
  const file = await results.openTable('samples', pullTimingColumns);
  const timings: PullTiming[] = [];
  // Interleaved, so that a slow minute of the machine affects all alike. Sample 0 warms up and is not kept.
  for (let sample = 0; sample <= options.samples; sample++) {
    for (const { name, tagOf } of sample === 0 ? repositories.slice(0, 1) : repositories) {
      for (const mode of options.modes) {
        const cost = await measurePull(openSandbox(options.stateDir), link, tagOf(mode.variant), mode, signal);
        if (sample === 0) continue;
        const timing = { image: name, mode: mode.name, sample, rttMs, limitMs: limitMsOf(rttMs, cost.layers), ...cost };
        await file.append(timing);
        timings.push(timing);
        say(`${name} ${mode.name} ${sample}/${options.samples}: ${cost.pullMs.toFixed(0)} ms`);
      }
    }
  }
  return timings;
}

async function pushLayered(
  { layers, split, stateDir }: Options,
  registryAddress: string,
  signal: AbortSignal,
): Promise<PulledRepository[]> {
  const scratch = await mkdtemp(join(stateDir, 'pull-'));
  const client = new RegistryClient();
  try {
    const pushed: PulledRepository[] = [];
    const push = async (pushing: Promise<string>): Promise<void> => {
      const name = await pushing;
      pushed.push({ name, tagOf: (variant) => `${name}:${variant}` });
    };
    const images = { registry: registryAddress, client, scratch };
    for (const count of layers) await push(pushLayeredImage(count, images, signal));
    for (const count of split) await push(pushSplitImage(count, images, signal));
    return pushed;
  } finally {
    await client.close();
    await rm(scratch, { recursive: true, force: true });
  }
}

async function ensureWorkloads(
  options: Options,
  registryAddress: string,
  signal: AbortSignal,
): Promise<PulledRepository[]> {
  const { stateDir } = options;
  // With an empty list the base image would still be built.
  if (options.workloads.length === 0) return [];
  const variants = options.modes.map(({ variant }) => variant);
  const request = { stateDir, registryAddress, variants, onStep: say };
  const sets = await ensureWorkloadImages(options.workloads, request, signal);
  return [...sets].map(([name, set]) => ({ name, tagOf: (variant) => set[variant as keyof typeof set]! }));
}
