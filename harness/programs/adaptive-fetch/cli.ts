import type { LinkSetting } from '../../../measurements/environment.ts';
import { workloads } from '../../../workloads/catalogue.ts';
import { ensureWorkloadImages, imagesDisk, openTestbedRun, type TestbedRun } from '../../assembly/testbed.ts';
import { openSandbox } from '../../cell/sandbox.ts';
import { selectNamed } from '../../cli/arguments.ts';
import {
  bandwidth,
  type OptionValues,
  out,
  parseOptions,
  rtt,
  samples,
  stateDir,
  usageOf,
  valued,
} from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { startLink } from '../../link/link.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSetting } from '../../run/daemon-setting.ts';
import { fetchConfig, measureFetch } from './measure.ts';
import {
  type Fetching,
  fetchColumns,
  type FetchTiming,
  fetchSummaryColumns,
  limitsOf,
  summarizeFetches,
} from './summary.ts';

const program = 'bench:numpy';
const about = `What adaptive fetching is worth: a workload on an image that was not optimised for it, in interleaved pairs with the
same daemon fetching one chunk at a time`;
const table = {
  workload: valued('NAME', 'what is run', 'numpy', (_, text) => selectNamed('workload', workloads, [text])[0]!),
  samples: samples(10, 'pairs'),
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
  const daemon = daemonSetting({ adaptive: fetchConfig(true), single: fetchConfig(false) });
  const freeBytes = await imagesDisk([options.workload], ['stargz'], stateDir);
  const request = { program, argv, outDir, stateDir, link, daemon, freeBytes };
  await using testbed = await openTestbedRun(request, signal);
  const { results } = testbed;
  const timings = await measureAll(options, link, testbed, signal);
  await results.writeTable('summary', fetchSummaryColumns, summarizeFetches(timings));
  return await conclude(results, limitsOf(timings));
}

async function measureAll(
  { workload, samples, stateDir }: Options,
  setting: LinkSetting,
  { registryAddress, results }: TestbedRun,
  signal: AbortSignal,
): Promise<FetchTiming[]> {
  const request = { stateDir, registryAddress, variants: ['stargz'] as const, onStep: say };
  const sets = await ensureWorkloadImages([workload], request, signal);
  const image = sets.get(workload.image.name)!.stargz!;
  await using stack = new AsyncDisposableStack();
  const link = await startLink({ target: registryAddress, ...setting });
  stack.defer(() => link.close());
  const common = { sandbox: openSandbox(stateDir), link, workload, image };
  // Not timed. It also warms what the first of a pair would otherwise warm for the second.
  const { readBytes } = await measureFetch({ ...common, adaptiveFetch: false, countReads: true }, signal);
  const file = await results.openTable('samples', fetchColumns);
  const timings: FetchTiming[] = [];
  for (let sample = 1; sample <= samples; sample++) {
    // The order alternates, so that drift of the machine favours neither.
    const pair: Fetching[] = sample % 2 === 1 ? ['adaptive', 'single'] : ['single', 'adaptive'];
    for (const fetching of pair) {
      const cost = await measureFetch({ ...common, adaptiveFetch: fetching === 'adaptive' }, signal);
      const timing = { workload: workload.name, sample, fetching, ...setting, ...cost, readBytes: readBytes! };
      await file.append(timing);
      timings.push(timing);
      say(`${fetching} ${sample}/${samples}: ${timing.runMs.toFixed(0)} ms`);
    }
  }
  return timings;
}
