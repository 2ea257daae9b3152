import { resolve } from 'node:path';
import type { Workload } from '../../../workloads/workload.ts';
import { defaultWorkloads, workloads } from '../../../workloads/catalogue.ts';
import { measureCells } from '../../assembly/cells.ts';
import { ownPeersPath } from '../../assembly/dependencies.ts';
import { openCells } from '../../assembly/executor.ts';
import { resolvePeers } from '../../assembly/peers.ts';
import { imagesDisk, openTestbed } from '../../assembly/testbed.ts';
import { modes } from '../../cell/modes/catalogue.ts';
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
import { type Peer, peerPackages, readPeerVersion } from '../../daemon/peer.ts';
import { readPeers } from '../../daemon/peers-file.ts';
import { ensurePackages } from '../../host/install.ts';
import { variantNames } from '../../images/variants.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSettingOf } from '../../run/daemon-setting.ts';
import { type DaemonState, describeMode } from '../../run/mode.ts';
import { openResults } from '../../run/results.ts';
import { pairedModes } from './modes.ts';
import { comparePeers, comparisonColumns, limitsOf, renderComparisons } from './summary.ts';

const program = 'bench:peer';
const about = `Our snapshotter beside another containerd-stargz-grpc, in one interleaved run`;
/** Of the peers file. */
const goPeerName = 'go-stargz';
const lazyModes = modes.filter((mode) => mode.snapshotter === 'stargz');
const states = [{ name: 'fresh' }, { name: 'warm' }] as const satisfies readonly { name: DaemonState }[];
const table = {
  peer: text('PATH', "the peer's program", 'containerd-stargz-grpc on PATH'),
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
  const { stateDir, out: outDir, rtt: rttMs, bandwidth: bandwidthMbps, workloads } = options;
  const states = options.daemon.map(({ name }) => name);
  if (states.includes('warm') && workloads.length < 2)
    throw new UsageError('--daemon warm needs a second workload to warm the daemon with');
  const peer = await goPeer(options);
  const measured = pairedModes(options.modes, peer, states);
  await using stack = new AsyncDisposableStack();
  const freeBytes = await imagesDisk(
    workloads,
    options.modes.map(({ variant }) => variant),
    stateDir,
  );
  const { registryAddress } = stack.use(await openTestbed({ stateDir, freeBytes }, signal));
  const reporter = { step: (_: string, detail: string) => say(detail), note: say, warn: say };
  await ensurePackages(await peerPackages(peer), reporter, signal);
  const peers = await resolvePeers({ modes: measured });
  const { program: path } = peers.get(peer.name)!;
  const version = options.peerName ?? (await readPeerVersion(peers.get(peer.name)!, signal)) ?? 'unknown version';
  const link = { rttMs, bandwidthMbps };
  const daemon = daemonSettingOf(options.modes);
  const details = { peer: { path, version }, modes: measured.map(describeMode) };
  const request = { program, argv, outDir, stateDir, seed: options.seed, link, daemon, details };
  const results = stack.use(await openResults(request, signal));

  const warmUpFor = (workload: Workload) => otherThan(workload, workloads);
  const cellsRequest = {
    stateDir,
    registryAddress,
    workloads,
    modes: measured,
    links: [link],
    reporter,
    peers,
    warmUpFor,
  };
  const { executor } = stack.use(await openCells(cellsRequest, signal));
  const { samples, seed } = options;
  const rows = await measureCells({ workloads, modes: measured, samples, seed, executor, link, results }, signal);

  const comparisons = comparePeers(rows);
  await results.writeTable('summary', comparisonColumns, comparisons);
  const text = renderComparisons(comparisons);
  await results.writeFile('summary.txt', text);
  say(`\nSeconds, ours / ${version}\n\n${text}`);
  const failedCount = rows.filter((sample) => !sample.ok).length;
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

/** The Go daemon as the project's own peers file starts it, with another program if one is named. */
async function goPeer({ peer: path }: Options): Promise<Peer> {
  const peers = await readPeers(ownPeersPath, variantNames);
  const peer = peers.find(({ name }) => name === goPeerName)!;
  return path === undefined ? peer : { ...peer, program: resolve(path) };
}
