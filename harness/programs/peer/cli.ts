import { access, constants } from 'node:fs/promises';
import { execa } from 'execa';
import { type Sample, sampleColumns } from '../../../measurements/sample.ts';
import { formatSeconds } from '../../../measurements/format.ts';
import { seededRandom } from '../../../measurements/stats/random.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { defaultWorkloads, workloads } from '../../../workloads/catalogue.ts';
import { ensureWorkloadImages, imagesBytes, openTestbed } from '../../assembly/testbed.ts';
import { createCellExecutor } from '../../cell/cell.ts';
import { modes } from '../../cell/modes/catalogue.ts';
import { HarnessError } from '../../cli/error.ts';
import {
  bandwidth,
  type Option,
  type OptionValues,
  out,
  parseOptions,
  rtt,
  samples,
  seed,
  selected,
  stateDir,
  usageOf,
} from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { UsageError } from '../../cli/quantity.ts';
import { findCommand } from '../../host/commands.ts';
import { startLink } from '../../link/link.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSetting } from '../../run/daemon-setting.ts';
import { buildPlan, type Cell } from '../../run/plan.ts';
import { openResults } from '../../run/results.ts';
import { runPlan } from '../../run/run.ts';
import { type DaemonState, peerModes } from './modes.ts';
import { comparePeers, comparisonColumns, limitsOf, renderComparisons } from './summary.ts';

const program = 'bench:peer';
const about = `Our snapshotter beside another containerd-stargz-grpc, in one interleaved run`;
const lazyModes = modes.filter((mode) => mode.snapshotter === 'stargz');
const states = [{ name: 'fresh' }, { name: 'warm' }] as const satisfies readonly { name: DaemonState }[];
const table = {
  peer: text('PATH', "the peer's program", 'containerd-stargz-grpc, found on PATH'),
  peerName: text('TEXT', 'what the results call it', 'what it answers to --version'),
  workloads: selected('workload', workloads, 'what is run', { defaults: defaultWorkloads }),
  modes: selected('mode', lazyModes, 'how they are pulled'),
  daemon: selected('state', states, 'warm: one other image was pulled and run before', { defaults: [states[0]] }),
  samples: samples(4),
  seed: seed(1, 'order of the cells'),
  rtt,
  bandwidth,
  out,
  stateDir,
};
type Options = OptionValues<typeof table>;

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir, rtt: rttMs, bandwidth: bandwidthMbps } = options;
  if (options.daemon.some(({ name }) => name === 'warm') && options.workloads.length < 2)
    throw new UsageError('--daemon warm needs a second workload to warm the daemon with');
  await using stack = new AsyncDisposableStack();
  const { registryAddress } = stack.use(await openTestbed({ stateDir, freeBytes: imagesBytes }, signal));
  const peer = await findPeer(options, signal);
  const link = { rttMs, bandwidthMbps };
  const daemon = daemonSetting(Object.fromEntries(options.modes.map((mode) => [mode.name, mode.daemonConfig])));
  const details = { peer };
  const request = { program, argv, outDir, stateDir, seed: options.seed, link, daemon, details };
  const results = stack.use(await openResults(request, signal));

  const { workloads } = options;
  const variants = options.modes.map((mode) => mode.variant);
  const images = await ensureWorkloadImages(workloads, { stateDir, registryAddress, variants, onStep: say }, signal);
  const emulated = await startLink({ target: registryAddress, ...link });
  stack.defer(() => emulated.close());
  const executor = createCellExecutor({
    stateDir,
    link: emulated,
    imageOf: (workload, mode) => images.get(workload.image.name)![mode.variant]!,
    warmUpFor: (workload) => otherThan(workload, workloads),
  });
  stack.defer(() => executor.close());

  const cells = buildPlan({
    workloads,
    modes: peerModes(
      options.modes,
      peer.path,
      options.daemon.map(({ name }) => name),
    ),
    samples: options.samples,
    random: seededRandom(options.seed),
  });
  const sink = await results.openTable('samples', sampleColumns);
  const observer = { cellStarted: () => {}, phaseStarted: () => {}, cellFinished: reportCell(cells.length) };
  const plan = { runId: results.runId, cells, executor, sink, observer, link, now: () => new Date() };
  const measured = await runPlan(plan, signal);
  signal.throwIfAborted();

  const comparisons = comparePeers(measured.samples);
  await results.writeTable('summary', comparisonColumns, comparisons);
  const text = renderComparisons(comparisons);
  await results.writeFile('summary.txt', text);
  say(`\nSeconds, ours / ${peer.version}\n\n${text}`);
  const failedCount = measured.samples.filter((sample) => !sample.ok).length;
  const within = await conclude(results, limitsOf(comparisons, link), { failedCount });
  return within && failedCount === 0;
}

/** Half the list away, since neighbours share layers. */
function otherThan(workload: Workload, all: readonly Workload[]): Workload {
  return all[(all.indexOf(workload) + Math.max(1, Math.floor(all.length / 2))) % all.length]!;
}

function text(argument: string, help: string, shownDefault: string): Option<string | undefined> {
  return { argument, help, shownDefault, parse: ([value]) => value };
}

async function findPeer({ peer, peerName }: Options, signal: AbortSignal) {
  const path = peer ?? (await findCommand('containerd-stargz-grpc'));
  if (path === undefined || !(await isExecutable(path))) {
    throw new HarnessError('start', `the peer ${path ?? 'containerd-stargz-grpc'} cannot be run`, {
      remedy:
        "give its path with --peer PATH; Debian's stargz-snapshotter package has only ctr-remote, the daemon is built from source",
    });
  }
  if (peerName !== undefined) return { path, version: peerName };
  const { stdout } = await execa(path, ['--version'], { cancelSignal: signal, reject: false });
  return { path, version: stdout.trim() || 'unknown version' };
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function reportCell(count: number) {
  return ({ order }: Cell, sample: Sample): void => {
    const result = sample.ok ? `${formatSeconds(sample.totalMs)} s` : `FAILED: ${sample.error}`;
    say(`[${order}/${count}] ${sample.workload} ${sample.mode} ${sample.daemonState}: ${result}`);
  };
}
