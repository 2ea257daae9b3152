import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openTestbedRun, type TestbedRun } from '../../assembly/testbed.ts';
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
import { conclude } from '../../run/conclude.ts';
import { daemonSetting } from '../../run/daemon-setting.ts';
import { pushLayerImages } from './images.ts';
import { measureMemory, workNames } from './measure.ts';
import { limitsOf, type MemoryRow, memoryColumns } from './summary.ts';

const program = 'bench:memory';
const about = `What a warm daemon's memory grows by while images are mounted, read and removed again, and while snapshots are prepared,
committed and removed; each sample is a daemon of its own`;
const table = {
  images: number('mounted at once', 50, 1, 1000),
  rounds: number('measured', 6, 1, 1000),
  warmUp: number('rounds before them', 5, 0, 1000),
  mount: mounts(mountNames),
  samples: samples(3),
  out,
  stateDir,
};
const freeBytes = 2 ** 30;

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir } = options;
  const request = { program, argv, outDir, stateDir, freeBytes, daemon: daemonSetting({}) };
  await using testbed = await openTestbedRun(request, signal);
  return await conclude(testbed.results, limitsOf(await measureAll(options, testbed, signal)));
}

async function measureAll(
  { images: count, rounds, warmUp: warmUpRounds, mount, samples, stateDir }: OptionValues<typeof table>,
  { registryAddress, results }: TestbedRun,
  signal: AbortSignal,
): Promise<MemoryRow[]> {
  const scratch = await mkdtemp(join(stateDir, 'memory-images-'));
  try {
    const images = await pushLayerImages(count, { registryAddress, scratch }, signal);
    const file = await results.openTable('samples', memoryColumns);
    const rows: MemoryRow[] = [];
    for (let sample = 1; sample <= samples; sample++) {
      for (const face of mount) {
        for (const work of workNames) {
          const measured = await measureMemory({ face, work, images, warmUpRounds, rounds, stateDir }, signal);
          const row = { ...measured, sample };
          await file.append(row);
          rows.push(row);
          say(`${work}, ${face} ${sample}/${samples}: RSS ${row.rssBeforeKib} -> ${row.rssAfterKib} KiB`);
        }
      }
    }
    return rows;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
