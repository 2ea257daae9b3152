import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openClient, type ServiceClient } from '../api/client.ts';
import type { Snapshots } from '../api/types/snapshots.ts';
import { mountsBelow, unmount } from './testing/mounts.ts';
import { startContainerd, startDaemon, type TestProcess } from './testing/process.ts';
import { suite } from './testing/suite.ts';

interface Target {
  readonly title: string;
  readonly snapshotter: string;
  start(directory: string): Promise<TestProcess>;
}

/** Our daemon behind containerd, one version after the other: harness/e2e/suite.root.test.ts. */
const targets: readonly Target[] = [
  {
    title: "containerd's overlayfs",
    snapshotter: 'overlayfs',
    start: (directory) => startContainerd(directory, { disabledPlugins }),
  },
  { title: 'our daemon', snapshotter: 'stargz', start: (directory) => startDaemon(directory) },
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
    let target: TestProcess | undefined;
    let client: ServiceClient<Snapshots> | undefined;

    before(async () => {
      directory = mkdtempSync('/tmp/sn-');
      target = await start(directory);
      client = openClient('containerd.services.snapshots.v1.Snapshots', target.address, { namespace: 'suite' });
    });

    after(async () => {
      client?.close();
      await target?.stop();
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
