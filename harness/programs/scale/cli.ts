import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatSeconds } from '../../../measurements/format.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { openTestbedRun } from '../../assembly/testbed.ts';
import { modes } from '../../cell/modes/catalogue.ts';
import {
  bandwidth,
  number,
  type OptionValues,
  out,
  parseOptions,
  rtt,
  samples,
  stateDir,
  usageOf,
} from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { startLink } from '../../link/link.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSettingOf } from '../../run/daemon-setting.ts';
import { ensureScaleImage, scaleImage } from './images.ts';
import { measureScale } from './measure.ts';
import { limitsOf, type ScaleTiming, scaleColumns, scaleSummaryColumns, summarizeScale } from './summary.ts';

const program = 'bench:scale';
const about = `A busy node: many different images pulled at once, so that all of their layers are mounted, and many containers of one
image started at once, lazily and pulled whole`;
const table = {
  images: number('pulled at once', 50, 1, 1000),
  layers: number('of each image', 20, 2, 100),
  containers: number('started at once', 16, 1, 500),
  samples: samples(3),
  rtt,
  bandwidth,
  out,
  stateDir,
};

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir } = options;
  const setting = { rttMs: options.rtt, bandwidthMbps: options.bandwidth };
  const measured = modes.filter(({ variant }) => variant === 'legacy' || variant === 'estargz');
  const daemon = daemonSettingOf(measured);
  const request = { program, argv, outDir, stateDir, link: setting, daemon, freeBytes: 4 * 2 ** 30 };
  await using testbed = await openTestbedRun(request, signal);
  const { results, registryAddress } = testbed;
  await ensureImages(options, registryAddress, signal);
  await using stack = new AsyncDisposableStack();
  const link = await startLink({ target: registryAddress, ...setting });
  stack.defer(() => link.close());
  const file = await results.openTable('samples', scaleColumns);
  const timings: ScaleTiming[] = [];
  for (let sample = 1; sample <= options.samples; sample++) {
    // The order alternates, so that drift of the machine favours none.
    for (const mode of sample % 2 === 1 ? measured : measured.toReversed()) {
      const images = indexesOf(options).map((index) => scaleImage(index, options.layers, mode.variant));
      const cost = await measureScale({ mode, link, stateDir, images, containerCount: options.containers }, signal);
      const timing = { mode: mode.name, sample, ...setting, ...cost };
      await file.append(timing);
      timings.push(timing);
      const [pull, started] = [formatSeconds(cost.pullMs), formatSeconds(cost.runMs)];
      say(`${mode.name} ${sample}/${options.samples}: ${cost.layers} layers in ${pull} s, containers ${started} s`);
    }
  }
  const summary = summarizeScale(timings);
  await results.writeTable('summary', scaleSummaryColumns, summary);
  return await conclude(results, limitsOf(summary, Math.max(...timings.map(({ layers }) => layers))));
}

async function ensureImages(options: OptionValues<typeof table>, registry: string, signal: AbortSignal): Promise<void> {
  const scratch = await mkdtemp(join(options.stateDir, 'scale-'));
  const client = new RegistryClient();
  try {
    for (const index of indexesOf(options)) {
      if (index % 10 === 0) say(`image ${index + 1} of ${options.images}`);
      await ensureScaleImage(index, { registry, client, scratch, layerCount: options.layers }, signal);
    }
  } finally {
    await client.close();
    await rm(scratch, { recursive: true, force: true });
  }
}

function indexesOf({ images }: { readonly images: number }): number[] {
  return Array.from({ length: images }, (_, index) => index);
}
