import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  mountNames,
  mounts,
  number,
  type OptionValues,
  out,
  parseOptions,
  samples,
  stateDir,
  usageOf,
} from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { preflight } from '../../host/preflight.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSetting } from '../../run/daemon-setting.ts';
import { openResults, type Results } from '../../run/results.ts';
import { makeToc, mountLarge } from './measure.ts';
import { limitsOf, summarizeMounts, type TocMount, tocMountColumns, tocSummaryColumns } from './summary.ts';

const program = 'bench:toc';
const about = `The cost of mounting one layer with many entries, from the bytes of the TOC to the mounted directory; each sample is a
process of its own, with the daemon's V8 options`;
const table = {
  entries: number('in the TOC', 100_000, 1, 4_000_000),
  mount: mounts(mountNames),
  samples: samples(5),
  out,
  stateDir,
};
const freeBytes = 2 ** 30;

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir } = options;
  await preflight({ stateDir, freeBytes });
  await using results = await openResults({ program, argv, outDir, stateDir, daemon: daemonSetting({}) }, signal);
  const mounted = await measureAll(options, results, signal);
  const summary = summarizeMounts(mounted);
  await results.writeTable('summary', tocSummaryColumns, summary);
  return await conclude(results, limitsOf(summary));
}

async function measureAll(
  options: OptionValues<typeof table>,
  results: Results,
  signal: AbortSignal,
): Promise<TocMount[]> {
  const scratch = await mkdtemp(join(options.stateDir, 'toc-'));
  try {
    const toc = join(scratch, 'toc');
    await makeToc(options.entries, toc, signal);
    const file = await results.openTable('samples', tocMountColumns);
    const mounted: TocMount[] = [];
    for (let sample = 1; sample <= options.samples; sample++) {
      for (const face of options.mount) {
        const { names: _, ...cost } = await mountLarge(face, toc, scratch, signal);
        const mount = { ...cost, sample };
        await file.append(mount);
        mounted.push(mount);
        say(`${face} ${sample}/${options.samples}: ${mount.mountMs.toFixed(0)} ms`);
      }
    }
    return mounted;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
