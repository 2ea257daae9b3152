import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { startContainerd } from '../../testkit/containerd.ts';
import { startDaemon } from '../../testkit/daemon.ts';
import { type Lifetime, suiteLifetime, undoAfter } from '../../testkit/lifetime.ts';
import type { TestProcess } from '../../testkit/process.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { openClient, type ServiceClient } from '../api/client.ts';
import type { Snapshots } from '../api/types/snapshots.ts';
import { suite } from './testing/suite.ts';

interface Target {
  readonly title: string;
  readonly snapshotter: string;
  start(lifetime: Lifetime, directory: string): Promise<TestProcess>;
}

/** harness/e2e/suite.root.test.ts runs our daemon behind each version of containerd. */
const targets: readonly Target[] = [
  { title: "containerd's overlayfs", snapshotter: 'overlayfs', start: startContainerd },
  { title: 'our daemon', snapshotter: 'stargz', start: startDaemon },
];

for (const { title, snapshotter, start } of targets) {
  describe(`the snapshotter suite on ${title}`, { timeout: 120_000 }, () => {
    const lifetime = suiteLifetime();
    let directory = '';
    let client: ServiceClient<Snapshots>;

    before(async () => {
      // A short path: the mount options of 128 layers must fit in one page.
      directory = openScratch(lifetime, 'sn');
      const { address } = await start(lifetime, directory);
      client = openClient('containerd.services.snapshots.v1.Snapshots', address, { namespace: 'suite' });
      undoAfter(lifetime, () => client.close());
    });

    for (const [index, { title: caseTitle, run }] of suite.entries()) {
      test(caseTitle, { timeout: 60_000 }, async () => {
        const work = join(directory, `w${index}`);
        mkdirSync(work);
        await run({ client, snapshotter, work, prefix: `${index}-` });
      });
    }
  });
}
