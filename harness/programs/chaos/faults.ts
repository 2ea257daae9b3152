import { setTimeout as delay } from 'node:timers/promises';
import { randomBelow, type Random } from '../../../measurements/stats/random.ts';
import type { Gate } from '../../../testkit/gate.ts';
import { sendSignal } from '../../host/processes.ts';
import type { ChaosNode } from './node.ts';
import type { FaultCounts, FaultKind } from './tally.ts';

type NodeFault = (node: ChaosNode, random: Random, signal: AbortSignal) => Promise<void>;

const maxAbsenceMs = 800;
const maxStopMs = 1500;
const maxFullMs = 600;
const maxCalmMs = 1200;
const maxOutageMs = 1500;

/**
 * What befalls a node's own processes, container and disk, one at a time, each undone before the next. The daemon and its keeper never die
 * together here: that is `killBoth`.
 */
const nodeFaults: readonly { readonly kind: FaultKind; readonly weight: number; readonly strike: NodeFault }[] = [
  {
    kind: 'daemonKills',
    weight: 5,
    async strike(node, random, signal) {
      await node.keeper();
      await node.daemon.stop('SIGKILL');
      await delay(randomBelow(maxAbsenceMs, random));
      await node.restartDaemon(signal);
    },
  },
  {
    kind: 'keeperKills',
    weight: 9,
    async strike(node) {
      const keeper = await node.keeper();
      sendSignal(keeper, 'SIGKILL');
      await node.keeper(keeper);
    },
  },
  {
    kind: 'daemonUpdates',
    weight: 2,
    async strike(node, random, signal) {
      await node.keeper();
      await node.daemon.stop('SIGTERM');
      await delay(randomBelow(maxAbsenceMs, random));
      await node.restartDaemon(signal);
    },
  },
  {
    kind: 'containerdKills',
    weight: 6,
    async strike(node, random, signal) {
      await node.containerd.stop(0, 'SIGKILL');
      await delay(randomBelow(maxAbsenceMs, random));
      await node.restartContainerd(signal);
      await node.reader.checkRunning(node.containerd);
    },
  },
  {
    kind: 'containerKills',
    weight: 4,
    async strike(node, random, signal) {
      node.reader.kill();
      await node.replaceReader(random(), signal);
    },
  },
  {
    kind: 'containerdContainerKills',
    weight: 2,
    async strike(node, random, signal) {
      await node.containerd.stop(0, 'SIGKILL');
      node.reader.kill();
      await delay(randomBelow(maxAbsenceMs, random));
      await node.restartContainerd(signal);
      await node.replaceReader(random(), signal);
    },
  },
  { kind: 'containerdStops', weight: 1, strike: (node, random) => stopFor(node.containerd.pid, random) },
  { kind: 'daemonStops', weight: 2, strike: (node, random) => stopFor(node.daemon.pid, random) },
  { kind: 'keeperStops', weight: 1, strike: async (node, random) => stopFor(await node.keeper(), random) },
  {
    kind: 'diskFills',
    weight: 1,
    async strike({ disk }, random) {
      await disk.fill();
      await delay(randomBelow(maxFullMs, random));
      disk.free();
    },
  },
];

/** One fault at random, and the return to health. */
export async function strikeNode(
  node: ChaosNode,
  random: Random,
  counts: FaultCounts,
  signal: AbortSignal,
): Promise<void> {
  const total = nodeFaults.reduce((sum, { weight }) => sum + weight, 0);
  const { kind, strike } = drawFault(randomBelow(total, random));
  counts[kind]++;
  await strike(node, random, signal);
}

function drawFault(drawn: number): (typeof nodeFaults)[number] {
  let end = 0;
  for (const fault of nodeFaults) {
    end += fault.weight;
    if (drawn < end) return fault;
  }
  throw new RangeError(`${drawn} is not below the sum of the weights`);
}

/** The one case in which EROFS may read zeros, and FUSE loses its connection (docs/architecture.md). */
export async function killBoth(node: ChaosNode, counts: FaultCounts): Promise<void> {
  counts.bothKills++;
  const keeper = await node.keeper();
  // Stopped, it cannot start another keeper in between.
  sendSignal(node.daemon.pid, 'SIGSTOP');
  sendSignal(keeper, 'SIGKILL');
  await node.daemon.stop('SIGKILL');
}

/** Stalls or cuts the link to the registry now and then, until the signal; it is open in the end. */
export async function troubleLink(gate: Gate, random: Random, counts: FaultCounts, ending: AbortSignal): Promise<void> {
  while (!ending.aborted) {
    await delay(randomBelow(maxCalmMs, random), undefined, { signal: ending }).catch(() => {});
    if (ending.aborted) break;
    if (randomBelow(2, random) === 0) {
      counts.linkStalls++;
      gate.stall();
    } else {
      counts.linkCuts++;
      await gate.refuse();
    }
    await delay(randomBelow(maxOutageMs, random), undefined, { signal: ending }).catch(() => {});
    await gate.open();
  }
}

async function stopFor(pid: number, random: Random): Promise<void> {
  sendSignal(pid, 'SIGSTOP');
  await delay(randomBelow(maxStopMs, random));
  sendSignal(pid, 'SIGCONT');
}
