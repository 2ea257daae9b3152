import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { defaultWorkloads, workloads } from '../../../workloads/catalogue.ts';
import { measureCells } from '../../assembly/cells.ts';
import { ensureWorkloadImages, imagesDisk, openTestbedRun } from '../../assembly/testbed.ts';
import { createCellExecutor } from '../../cell/cell.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { stargz } from '../../cell/modes/stargz.ts';
import { bandwidth, out, parseOptions, rtt, samples, seed, selected, stateDir, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { startLink } from '../../link/link.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSettingOf } from '../../run/daemon-setting.ts';
import type { Mode } from '../../run/mode.ts';
import { publishRun } from './profiled-image.ts';
import { compareProfiles, describeProfile, limitsOf, modeNames, profileColumns } from './summary.ts';

const program = 'bench:profile';
const about = `What an access profile is worth that is published beside an image after its conversion, and what looking for one costs:
the image without it, looked up in vain, with it, and converted again with such a record, in one interleaved run`;
const table = {
  workloads: selected('workload', workloads, 'what is run', { defaults: defaultWorkloads }),
  samples: samples(3),
  seed: seed(1, 'order of the cells'),
  rtt,
  bandwidth,
  out,
  stateDir,
};

const modes: readonly Mode[] = [
  {
    ...stargz,
    name: modeNames.plain,
    daemonConfig: { ...stargz.daemonConfig, noprefetch: false, access_profiles: false },
  },
  {
    ...stargz,
    name: modeNames.sought,
    title: 'the same image, of which no profile is found',
    daemonConfig: { ...stargz.daemonConfig, noprefetch: false },
  },
  {
    ...stargz,
    name: modeNames.profiled,
    title: 'the same image with an access profile beside it',
    daemonConfig: { ...stargz.daemonConfig, noprefetch: false },
  },
  { ...estargz, name: modeNames.converted },
];

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir, workloads } = options;
  const setting = { rttMs: options.rtt, bandwidthMbps: options.bandwidth };
  const request = {
    ...{ program, argv, outDir, stateDir, seed: options.seed, link: setting },
    ...{
      daemon: daemonSettingOf(modes),
      freeBytes: await imagesDisk(
        workloads,
        modes.map(({ variant }) => variant),
        stateDir,
      ),
    },
  };
  await using testbed = await openTestbedRun(request, signal);
  const { results, registryAddress } = testbed;
  const variants = modes.map((mode) => mode.variant);
  const images = await ensureWorkloadImages(workloads, { stateDir, registryAddress, variants, onStep: say }, signal);
  await using stack = new AsyncDisposableStack();
  const client = new RegistryClient();
  stack.defer(() => client.close());
  const profiled = new Map<string, string>();
  const profileBytes = new Map<string, number>();
  for (const workload of workloads) {
    say(`${workload.name}: learn from a run`);
    const image = images.get(workload.image.name)!.stargz!;
    const learnt = await publishRun({ client, stateDir, registryAddress, workload, image }, signal);
    profiled.set(workload.name, learnt.image);
    profileBytes.set(workload.name, learnt.profile.sizeBytes);
  }
  const link = await startLink({ target: registryAddress, ...setting });
  stack.defer(() => link.close());
  const executor = createCellExecutor({
    stateDir,
    link,
    imageOf: (workload, { name, variant }) =>
      name === modeNames.profiled ? profiled.get(workload.name)! : images.get(workload.image.name)![variant]!,
  });
  stack.defer(() => executor.close());
  const { samples, seed } = options;
  const measured = await measureCells({ workloads, modes, samples, seed, executor, link: setting, results }, signal);
  const rows = compareProfiles(measured, profileBytes);
  await results.writeTable('summary', profileColumns, rows);
  for (const row of rows) say(describeProfile(row));
  const failedCount = measured.filter((sample) => !sample.ok).length;
  return (await conclude(results, limitsOf(rows), { failedCount })) && failedCount === 0;
}
