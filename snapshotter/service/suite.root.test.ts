import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openClient, type ServiceClient } from '../api/client.ts';
import type { Snapshots } from '../api/types/snapshots.ts';
import { suite } from './suite.ts';
import { mountsBelow, unmount } from './testing/mounts.ts';
import { startContainerd, startDaemon, type TestProcess } from './testing/process.ts';

interface Target {
  readonly title: string;
  readonly snapshotter: string;
  /** The process whose snapshots service is asked comes last; they are stopped from the last to the first. */
  start(directory: string): Promise<TestProcess[]>;
}

const targets: readonly Target[] = [
  {
    title: "containerd's overlayfs",
    snapshotter: 'overlayfs',
    start: async (directory) => [await startContainerd(directory, { disabledPlugins })],
  },
  { title: 'our daemon', snapshotter: 'stargz', start: async (directory) => [await startDaemon(directory)] },
  {
    title: 'our daemon behind containerd',
    snapshotter: 'stargz',
    async start(directory) {
      const daemon = await startDaemon(directory);
      const extraConfig = `[proxy_plugins.stargz]\n  type = "snapshot"\n  address = "${daemon.address}"`;
      try {
        return [daemon, await startContainerd(join(directory, 'c'), { extraConfig, disabledPlugins })];
      } catch (error) {
        await daemon.stop();
        throw error;
      }
    },
  },
];

const disabledPlugins = [
  'io.containerd.grpc.v1.cri',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.zfs',
];

for (const { title, snapshotter, start } of targets) {
  describe(`the snapshotter suite on ${title}`, { timeout: 120_000 }, () => {
    // Short: overlayfs takes a page of options for 128 layers, and sockets 107 bytes of path.
    let directory = '';
    let processes: TestProcess[] = [];
    let client: ServiceClient<Snapshots> | undefined;

    before(async () => {
      directory = mkdtempSync('/tmp/sn-');
      processes = await start(directory);
      const address = processes.at(-1)!.address;
      client = openClient('containerd.services.snapshots.v1.Snapshots', address, { namespace: 'suite' });
    });

    after(async () => {
      client?.close();
      for (const process of processes.reverse()) await process.stop();
      for (const point of mountsBelow(directory)) await unmount(point);
      rmSync(directory, { recursive: true, force: true });
    });

    for (const [index, { title: caseTitle, run }] of suite.entries()) {
      test(caseTitle, { timeout: 60_000 }, async () => {
        const work = join(directory, `w${index}`);
        mkdirSync(work);
        await run({ client: client!, snapshotter, work, prefix: `${index}-` });
      });
    }
  });
}
