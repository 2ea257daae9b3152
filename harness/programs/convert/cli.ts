import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openSource, openTarget } from '../../../snapshotter/images/open.ts';
import { parseLocation } from '../../../snapshotter/images/location.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { workloads } from '../../../workloads/catalogue.ts';
import { ensureWorkloadImages, imagesDisk, openTestbedRun, type TestbedRun } from '../../assembly/testbed.ts';
import {
  number,
  out,
  type OptionValues,
  parseOptions,
  samples,
  selected,
  stateDir,
  usageOf,
} from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { Containerd } from '../../containerd/containerd.ts';
import { ensurePackages } from '../../host/install.ts';
import { conclude } from '../../run/conclude.ts';
import { type ContentStore, convertByPeer, convertByUs, copyImage, fetchToStore } from './measure.ts';
import { converters, type ConvertTiming, convertTimingColumns, limitsOf } from './summary.ts';

const program = 'bench:convert';
const about = `Our converter beside ctr-remote (Debian's stargz-snapshotter): at most a third of its time, and 1.02 of its size`;
const table = {
  workloads: selected('workload', workloads, 'whose images are converted', {
    defaults: workloads.filter(({ name }) => name === 'python'),
  }),
  level: number('compression level of both', 6, 1, 9),
  samples: samples(5, 'of each'),
  out,
  stateDir,
};
type Options = OptionValues<typeof table>;

const peerPackage = { package: 'stargz-snapshotter', provides: { command: 'ctr-remote' } } as const;

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir } = options;
  const freeBytes = await imagesDisk(options.workloads, ['legacy'], stateDir);
  await using testbed = await openTestbedRun({ program, argv, outDir, stateDir, freeBytes }, signal);
  await ensurePackages(
    [peerPackage],
    { step: (stage, detail) => say(`${stage}: ${detail}`), note: say, warn: say },
    signal,
  );
  const timings = await measureAll(options, testbed, signal);
  return await conclude(testbed.results, limitsOf(timings), { level: options.level });
}

async function measureAll(
  { workloads, level, samples, stateDir }: Options,
  { registryAddress, results }: TestbedRun,
  signal: AbortSignal,
): Promise<ConvertTiming[]> {
  const request = { stateDir, registryAddress, variants: ['legacy'] as const, onStep: say };
  const sets = await ensureWorkloadImages(workloads, request, signal);
  await using stack = new AsyncDisposableStack();
  const scratch = await mkdtemp(join(stateDir, 'convert-'));
  stack.defer(() => rm(scratch, { recursive: true, force: true }));
  const options = { directory: join(scratch, 'containerd'), snapshotter: 'overlayfs', registryAddress };
  const containerd = await Containerd.start(options, signal);
  stack.defer(async () => void (await containerd.stop()));
  const file = await results.openTable('samples', convertTimingColumns);
  const timings: ConvertTiming[] = [];
  for (const [image, set] of sets) {
    const name = `${registryAddress}/${set.legacy!}`;
    const layout = join(scratch, image);
    const sourceBytes = await fetchToLayout(name, layout, signal);
    const store: ContentStore = { address: containerd.address, image: name };
    await fetchToStore(store, signal);
    // Interleaved, so that a slow minute of the machine affects both. Sample 0 warms up and is not kept.
    for (let sample = 0; sample <= samples; sample++) {
      for (const converter of converters) {
        const convert = converter === 'ours' ? convertByUs(layout, level, signal) : convertByPeer(store, level, signal);
        const timing = { image, converter, level, sample, sourceBytes, ...(await convert) };
        if (sample === 0) continue;
        await file.append(timing);
        timings.push(timing);
        say(`${image} ${converter} ${sample}/${samples}: ${(timing.convertMs / 1000).toFixed(1)} s`);
      }
    }
  }
  return timings;
}

async function fetchToLayout(name: string, layout: string, signal: AbortSignal): Promise<number> {
  const client = new RegistryClient();
  try {
    const source = await openSource(parseLocation(name), { client }, signal);
    const target = await openTarget({ kind: 'oci', directory: layout }, { client });
    return await copyImage(source, target, signal);
  } finally {
    await client.close();
  }
}
