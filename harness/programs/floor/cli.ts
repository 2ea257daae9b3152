import { defaultWorkloads, workloads } from '../../../workloads/catalogue.ts';
import { measureCells } from '../../assembly/cells.ts';
import { ensureWorkloadImages, imagesDisk, openTestbedRun } from '../../assembly/testbed.ts';
import { createCellExecutor } from '../../cell/cell.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { legacy } from '../../cell/modes/legacy.ts';
import { openSandbox } from '../../cell/sandbox.ts';
import { bandwidth, out, parseOptions, rtt, samples, seed, selected, stateDir, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { startLink } from '../../link/link.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSettingOf } from '../../run/daemon-setting.ts';
import { measureFetch } from '../adaptive-fetch/measure.ts';
import { compareWithFloor, describeFloor, floorColumns, limitsOf } from './summary.ts';

const program = 'bench:floor';
const about = `How close an optimised image comes to the least that any lazy start can take: three round trips, the bytes that are
read at the link's bandwidth, and the run of an unpacked image from the page cache`;
const table = {
  workloads: selected('workload', workloads, 'what is run', { defaults: defaultWorkloads }),
  samples: samples(3),
  seed: seed(1, 'order of the cells'),
  rtt,
  bandwidth,
  out,
  stateDir,
};
const modes = [legacy, estargz];

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir, workloads } = options;
  const setting = { rttMs: options.rtt, bandwidthMbps: options.bandwidth };
  const daemon = daemonSettingOf(modes);
  const request = {
    program,
    argv,
    outDir,
    stateDir,
    seed: options.seed,
    link: setting,
    daemon,
    freeBytes: await imagesDisk(
      workloads,
      modes.map(({ variant }) => variant),
      stateDir,
    ),
  };
  await using testbed = await openTestbedRun(request, signal);
  const { results, registryAddress } = testbed;
  const variants = modes.map((mode) => mode.variant);
  const images = await ensureWorkloadImages(workloads, { stateDir, registryAddress, variants, onStep: say }, signal);
  await using stack = new AsyncDisposableStack();
  const link = await startLink({ target: registryAddress, ...setting });
  stack.defer(() => link.close());

  const needed = new Map<string, number>();
  const sandbox = openSandbox(stateDir);
  for (const workload of workloads) {
    const image = images.get(workload.image.name)!.estargz!;
    const counted = { adaptiveFetch: false, countReads: true, readahead: 'narrow' } as const;
    const cost = await measureFetch({ sandbox, link, workload, image, ...counted }, signal);
    needed.set(workload.name, cost.readBytes!);
  }
  const executor = createCellExecutor({
    stateDir,
    link,
    imageOf: (workload, mode) => images.get(workload.image.name)![mode.variant]!,
  });
  stack.defer(() => executor.close());
  const { samples, seed } = options;
  const measured = await measureCells({ workloads, modes, samples, seed, executor, link: setting, results }, signal);
  const rows = compareWithFloor(measured, estargz.name, needed, setting);
  await results.writeTable('summary', floorColumns, rows);
  for (const row of rows) say(describeFloor(row));
  const failedCount = measured.filter((sample) => !sample.ok).length;
  return (await conclude(results, limitsOf(rows), { failedCount })) && failedCount === 0;
}
