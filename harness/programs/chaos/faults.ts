import { setTimeout as delay } from 'node:timers/promises';
import { randomBelow, type Random, shuffle } from '../../../measurements/stats/random.ts';
import type { Gate } from '../../../testkit/gate.ts';
import { sendSignal } from '../../host/processes.ts';
import type { ChaosNode } from './node.ts';
import type { FaultCounts, FaultKind } from './tally.ts';

export interface NodeFault {
  readonly kind: FaultKind;
  readonly perLife: number;
  /** Strikes, and returns the node to health. */
  strike(node: ChaosNode, random: Random, signal: AbortSignal): Promise<void>;
}

const maxAbsenceMs = 800;
const maxStopMs = 1500;
const maxFullMs = 600;
const maxCalmMs = 1200;
const maxOutageMs = 1500;

/**
 * What befalls a node's own processes, container and disk, one at a time, each undone before the next. The daemon and its
 * keeper never die together here: that is `killBoth`.
 */
const nodeFaults: readonly NodeFault[] = [
  {
    kind: 'daemonKills',
    perLife: 5,
    async strike(node, random, signal) {
      await node.keeper();
      await node.daemon.stop('SIGKILL');
      await delay(randomBelow(maxAbsenceMs, random));
      await node.restartDaemon(signal);
    },
  },
  {
    kind: 'keeperKills',
    perLife: 9,
    async strike(node) {
      const keeper = await node.keeper();
      sendSignal(keeper, 'SIGKILL');
      await node.keeper(keeper);
    },
  },
  {
    kind: 'daemonUpdates',
    perLife: 2,
    async strike(node, random, signal) {
      await node.keeper();
      await node.daemon.stop('SIGTERM');
      await delay(randomBelow(maxAbsenceMs, random));
      await node.restartDaemon(signal);
    },
  },
  {
    kind: 'containerdKills',
    perLife: 6,
    async strike(node, random, signal) {
      await node.containerd.stop(0, 'SIGKILL');
      await delay(randomBelow(maxAbsenceMs, random));
      await node.restartContainerd(signal);
      await node.reader.checkRunning(node.containerd);
    },
  },
  {
    kind: 'containerKills',
    perLife: 4,
    async strike(node, random, signal) {
      node.reader.kill();
      await node.replaceReader(random(), signal);
    },
  },
  {
    kind: 'containerdContainerKills',
    perLife: 2,
    async strike(node, random, signal) {
      await node.containerd.stop(0, 'SIGKILL');
      node.reader.kill();
      await delay(randomBelow(maxAbsenceMs, random));
      await node.restartContainerd(signal);
      await node.replaceReader(random(), signal);
    },
  },
  { kind: 'containerdStops', perLife: 1, strike: (node, random) => stopFor(node.containerd.pid, random) },
  { kind: 'daemonStops', perLife: 2, strike: (node, random) => stopFor(node.daemon.pid, random) },
  { kind: 'keeperStops', perLife: 1, strike: async (node, random) => stopFor(await node.keeper(), random) },
  {
    kind: 'diskFills',
    perLife: 1,
    async strike({ disk }, random) {
      await disk.fill();
      await delay(randomBelow(maxFullMs, random));
      disk.free();
    },
  },
];

/** Each fault `perLife` times, in random order: a life meets them all. */
export function dealFaults(random: Random): readonly NodeFault[] {
  const deck = nodeFaults.flatMap((fault) => Array.from({ length: fault.perLife }, () => fault));
  return shuffle(deck, random);
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
