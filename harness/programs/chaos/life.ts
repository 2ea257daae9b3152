import { setTimeout as delay } from 'node:timers/promises';
import { randomBelow, type Random, seededRandom } from '../../../measurements/stats/random.ts';
import type { Gate } from '../../../testkit/gate.ts';
import { dealFaults, killBoth, troubleLink } from './faults.ts';
import { type ChaosNode, type NodeSetting, startNode } from './node.ts';
import { emptyReadTally, type FaultCounts, type Life, noFaults } from './tally.ts';

export interface LifeSetting extends NodeSetting {
  readonly node: number;
  readonly life: number;
  readonly gate: Gate;
  readonly random: Random;
  /** Ends the life early, in an orderly way. */
  readonly deadline: AbortSignal;
}

/** A life in so many ends with the death of both. */
const bothOneIn = 4;
const maxPauseMs = 250;
const windowMs = 2000;
const recoveryMs = 1000;

/** From an empty directory to an empty directory. Never rejects unless aborted: what went wrong is in the row. */
export async function liveOnce(setting: LifeSetting, signal: AbortSignal): Promise<Life> {
  const startedMs = performance.now();
  const counts = noFaults();
  const tally = emptyReadTally();
  let left: readonly string[] = [];
  let failure: string | undefined;
  let node: ChaosNode | undefined;
  try {
    await setting.gate.open();
    node = await startNode(setting, signal);
    await readUnderFaults(setting, node, counts, signal);
    left = [...(await node.verify()), ...(await node.takeDown(tally))];
  } catch (error) {
    signal.throwIfAborted();
    failure = error instanceof Error ? error.message : String(error);
    await node?.addReads(tally);
  }
  if (left.length > 0) failure ??= left.slice(0, 5).join('; ');
  if (failure !== undefined || signal.aborted) await node?.destroy();
  return {
    node: setting.node,
    life: setting.life,
    face: setting.face,
    durationMs: performance.now() - startedMs,
    ...tally,
    ...counts,
    leftovers: left.length,
    failure,
  };
}

async function readUnderFaults(
  setting: LifeSetting,
  node: ChaosNode,
  counts: FaultCounts,
  signal: AbortSignal,
): Promise<void> {
  const { random, gate, deadline } = setting;
  const ending = new AbortController();
  // Drawn from a sequence of its own: its timing must not change the order of the other faults.
  const linkTrouble = troubleLink(gate, seededRandom(random()), counts, ending.signal);
  try {
    for (const { kind, strike } of dealFaults(random)) {
      if (deadline.aborted) break;
      counts[kind]++;
      await strike(node, random, signal);
      await delay(randomBelow(maxPauseMs, random), undefined, { signal });
    }
  } finally {
    ending.abort();
    await linkTrouble;
  }
  const isInWindow = randomBelow(bothOneIn, random) === 0;
  if (isInWindow) {
    node.reader.enterWindow();
    await killBoth(node, counts);
    await delay(windowMs, undefined, { signal });
    await node.restartDaemon(signal);
  }
  await node.reader.end(node.containerd);
  // The daemon's log says so: containers that ran in the window are to be restarted.
  if (isInWindow) {
    await node.replaceReader(random(), signal);
    await delay(recoveryMs, undefined, { signal });
    await node.reader.end(node.containerd);
  }
}
