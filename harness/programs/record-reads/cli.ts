import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Recording, recordingOf, workMs } from '../../../testkit/testing/recorded-reads.ts';
import { workloads } from '../../../workloads/catalogue.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { ensureWorkloadImages, imagesDisk, openTestbed } from '../../assembly/testbed.ts';
import { type RunningCell, openSandbox, requireLazy, withCell } from '../../cell/sandbox.ts';
import { stargz } from '../../cell/modes/stargz.ts';
import { directory, type OptionValues, parseOptions, samples, selected, stateDir, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';

const program = 'record:reads';
const about = `Records what workloads read of their images, and when, for snapshotter/store/fetch-policy.bench.ts`;
const table = {
  workloads: selected('workload', workloads, 'what is run'),
  to: directory('where NAME.json.gz is written', 'snapshotter/store/testing/recordings'),
  samples: samples(5, 'runs of each; the one whose programs worked the shortest is kept: the others were disturbed'),
  stateDir,
};

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const { workloads, to, samples, stateDir } = parseOptions(argv, table) as OptionValues<typeof table>;
  await using testbed = await openTestbed(
    { stateDir, freeBytes: await imagesDisk(workloads, ['stargz'], stateDir) },
    signal,
  );
  const { registryAddress } = testbed;
  const request = { stateDir, registryAddress, variants: ['stargz'] as const, onStep: say };
  const sets = await ensureWorkloadImages(workloads, request, signal);
  for (const workload of workloads) {
    const image = `${registryAddress}/${sets.get(workload.image.name)!.stargz!}`;
    const recordings: Recording[] = [];
    for (let sample = 1; sample <= samples; sample++) {
      recordings.push(await record({ workload, image, registryAddress, stateDir }, signal));
    }
    const [recording] = recordings.sort((a, b) => workMs(a) - workMs(b)) as [Recording];
    await writeFile(join(to, `${workload.name}.json.gz`), gzipSync(JSON.stringify(recording), { level: 9 }));
    say(`${workload.name}: ${recording.reads.length} reads, ${workMs(recording)} ms of work`);
  }
  return true;
}

interface RecordRequest {
  readonly workload: Workload;
  readonly image: string;
  readonly registryAddress: string;
  readonly stateDir: string;
}

/** One member a request and no delay of the link, so that the trace shows each first read and the work between them. */
function record(
  { workload, image, registryAddress, stateDir }: RecordRequest,
  signal: AbortSignal,
): Promise<Recording> {
  const sandbox = openSandbox(stateDir);
  const daemonConfig = { ...stargz.daemonConfig, cache: { adaptive_fetch: false } };
  const setting = { snapshotter: 'stargz', daemonConfig, logLevel: 'trace', registryAddress, isCold: false } as const;
  const measure = async (running: RunningCell): Promise<Recording> => {
    const container = await running.prepareContainer(workload);
    await running.containerd.pull(image, signal);
    const pulled = await running.containerd.readImage(image, signal);
    await container.create(pulled, signal);
    const startMs = Date.now();
    await container.runUntilReady(signal);
    const readyMs = Date.now();
    await requireLazy(running, image, pulled, signal);
    const layersRoot = join(sandbox.directory, 'stargz', 'root', 'layers');
    const about = `${workload.name}: ${workload.title}`;
    return await recordingOf({ logPath: running.daemon!.logPath, layersRoot, about, startMs, readyMs });
  };
  return withCell(sandbox, setting, measure, signal);
}
