/**
 * Replays recorded reads over simulated links, once per fetch policy, on a virtual clock: the same numbers every time.
 *
 *     node snapshotter/store/fetch-policy.bench.ts            policies beside the chosen one
 *
 * A cell is: seconds until the last read was served, requests, bytes fetched per byte used.
 */
import { adaptivePolicy, singlePolicy, type WindowPolicy } from './fetch-window.ts';
import { readsOfWholeTree, recordedTable, recording, replay, type SimulatedLink } from './testing/replay.ts';

const links: readonly SimulatedLink[] = [
  { rttMs: 5, bandwidthMbps: 1000 },
  { rttMs: 30, bandwidthMbps: 200 },
  { rttMs: 30, bandwidthMbps: 50 },
  { rttMs: 100, bandwidthMbps: 200 },
];

/** Each varies one thing of the chosen policy, so that a row shows what that thing is worth. */
const policies: Readonly<Record<string, WindowPolicy>> = {
  'one member a time': singlePolicy,
  chosen: adaptivePolicy,
  'no rest of file': { ...adaptivePolicy, fileWindows: 0 },
  'no directory': { ...adaptivePolicy, directoryWindows: 0 },
  'neighbours 24 KiB': { ...adaptivePolicy, neighbourBytes: 24 * 1024 },
  'neighbours 96 KiB': { ...adaptivePolicy, neighbourBytes: 96 * 1024 },
  'no streams': { ...adaptivePolicy, streamWindows: 0 },
  'wide streams': { ...adaptivePolicy, streamWindows: 1 },
  'no floor': { ...adaptivePolicy, floorWindows: 0 },
  'floor 4': { ...adaptivePolicy, floorWindows: 4 },
  'share 0.2': { ...adaptivePolicy, unusedShare: 0.2 },
  'share 0.6': { ...adaptivePolicy, unusedShare: 0.6 },
  'no sweep': { ...adaptivePolicy, sweepShare: 0 },
  'sweep 0.3': { ...adaptivePolicy, sweepShare: 0.3 },
};

if (import.meta.main) printTable();

function printTable(): void {
  const table = recordedTable();
  const all = { ...recording.reads, 'whole tree': readsOfWholeTree(table) };
  for (const [name, reads] of Object.entries(all)) {
    const heads = links.map(({ rttMs, bandwidthMbps }) => `${rttMs} ms, ${bandwidthMbps} Mbit/s`.padEnd(20));
    console.log(`\n${name.padEnd(20)}${heads.join('')}`);
    for (const [label, policy] of Object.entries(policies)) {
      const cells = links.map((link) => {
        const { totalMs, requests, fetchedBytes, usedBytes } = replay(table, reads, policy, link);
        return `${(totalMs / 1000).toFixed(2)} ${requests} ${(fetchedBytes / usedBytes).toFixed(2)}`.padEnd(20);
      });
      console.log(label.padEnd(20) + cells.join(''));
    }
  }
}
