import type { ExecutorRequest } from '../bench/dependencies.ts';
import type { Reporter } from '../cli/reporter.ts';
import { type Peer, readPeerVersion, resolvePeer } from '../daemon/peer.ts';
import type { Mode } from '../run/mode.ts';
import type { CellExecutor } from '../run/run.ts';

/** For environment.json. */
export async function describePeers(
  peers: ReadonlyMap<string, Peer>,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  if (peers.size === 0) return {};
  const versions: Record<string, unknown> = {};
  for (const [name, peer] of peers) {
    versions[name] = { program: peer.program, version: (await readPeerVersion(peer, signal)) ?? null };
    reporter.step('peers', `${name}: ${peer.program}`);
  }
  return { peers: versions };
}

/** Runs cells with the programs that were found for their peers; `owned` is what its `close` undoes. */
export function withPrograms(
  cells: Pick<CellExecutor, 'execute' | 'trace'>,
  peers: ReadonlyMap<string, Peer>,
  owned: AsyncDisposableStack,
): CellExecutor {
  return {
    execute: (cell, onPhase, signal) =>
      cells.execute({ ...cell, mode: withProgram(cell.mode, peers) }, onPhase, signal),
    trace: (cell, signal) => cells.trace({ ...cell, mode: withProgram(cell.mode, peers) }, signal),
    close: () => owned.disposeAsync(),
  };
}

/** The same mode with the program that was found for its peer. */
function withProgram(mode: Mode, peers: ReadonlyMap<string, Peer>): Mode {
  const peer = mode.peer && peers.get(mode.peer.name);
  return peer === undefined ? mode : { ...mode, peer };
}

/** Finds the program of each peer among the modes. Throws HarnessError where there is none. */
export async function resolvePeers({ modes }: Pick<ExecutorRequest, 'modes'>): Promise<ReadonlyMap<string, Peer>> {
  const peers = new Map<string, Peer>();
  for (const { peer } of modes) {
    if (peer === undefined || peers.has(peer.name)) continue;
    peers.set(peer.name, await resolvePeer(peer));
  }
  return peers;
}
