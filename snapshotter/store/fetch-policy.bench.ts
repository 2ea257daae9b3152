/**
 * Replays recorded reads over simulated links, once per fetch policy, on a virtual clock: the same numbers every time.
 *
 *     node snapshotter/store/fetch-policy.bench.ts            policies beside the chosen one
 *     npm run record:reads                                    records the reads again
 *
 * A cell is: seconds until the workload was ready, requests, bytes fetched per byte used.
 */
import { adaptivePolicy, singlePolicy, type WindowPolicy } from './fetch-window.ts';
import {
  type Recording,
  readingOfLargeFile,
  readingOfWholeTree,
  readRecording,
  recordedWorkloads,
} from './testing/recording.ts';
import { type ReplayOptions, replay, type SimulatedLink } from './testing/replay.ts';

const links: readonly SimulatedLink[] = [
  { rttMs: 0.2, bandwidthMbps: 1000 },
  { rttMs: 5, bandwidthMbps: 1000 },
  { rttMs: 30, bandwidthMbps: 200 },
  { rttMs: 30, bandwidthMbps: 50 },
  { rttMs: 100, bandwidthMbps: 200 },
];

interface Variant extends ReplayOptions {
  readonly policy: WindowPolicy;
}

/** Each varies one thing of the chosen policy, so that a row shows what that thing is worth. */
const variants: Readonly<Record<string, Variant>> = {
  'one member a time': { policy: singlePolicy, followsNames: false },
  chosen: { policy: adaptivePolicy },
  'no names': { policy: adaptivePolicy, followsNames: false },
  'names only': { policy: singlePolicy },
  'no rest of file': { policy: { ...adaptivePolicy, fileWindows: 0 } },
  'rest of file 4': { policy: { ...adaptivePolicy, fileWindows: 4 } },
  'rest of file 16': { policy: { ...adaptivePolicy, fileWindows: 16 } },
  'no directory': { policy: { ...adaptivePolicy, directoryWindows: 0 } },
  'neighbours 24 KiB': { policy: { ...adaptivePolicy, neighbourBytes: 24 * 1024 } },
  'neighbours 96 KiB': { policy: { ...adaptivePolicy, neighbourBytes: 96 * 1024 } },
  'no streams': { policy: { ...adaptivePolicy, streamWindows: 0 } },
  'wide streams': { policy: { ...adaptivePolicy, streamWindows: 1 } },
  'no file streams': { policy: { ...adaptivePolicy, fileStreamBytes: 0 } },
  'no floor': { policy: { ...adaptivePolicy, floorWindows: 0 } },
  'floor 2': { policy: { ...adaptivePolicy, floorWindows: 2 } },
  'floor 8': { policy: { ...adaptivePolicy, floorWindows: 8 } },
  'share 0.35': { policy: { ...adaptivePolicy, unusedShare: 0.35 } },
  'share 1': { policy: { ...adaptivePolicy, unusedShare: 1 } },
  'no sweep': { policy: { ...adaptivePolicy, sweepShare: 0 } },
  'sweep 0.3': { policy: { ...adaptivePolicy, sweepShare: 0.3 } },
};

if (import.meta.main) {
  for (const name of recordedWorkloads) printTable(name, readRecording(name));
  printTable('whole tree', readingOfWholeTree(readRecording('numpy').layers[5]!));
  printTable('256 MiB', readingOfLargeFile(64, 4 * 1024 * 1024, 10));
}

function printTable(name: string, recording: Recording): void {
  const heads = links.map(({ rttMs, bandwidthMbps }) => `${rttMs} ms, ${bandwidthMbps} Mbit/s`.padEnd(20));
  console.log(`\n${name.padEnd(20)}${heads.join('')}`);
  for (const [label, { policy, ...options }] of Object.entries(variants)) {
    const cells = links.map((link) => {
      const { totalMs, requests, fetchedBytes, usedBytes } = replay(recording, policy, link, options);
      return `${(totalMs / 1000).toFixed(2)} ${requests} ${(fetchedBytes / usedBytes).toFixed(2)}`.padEnd(20);
    });
    console.log(label.padEnd(20) + cells.join(''));
  }
}
