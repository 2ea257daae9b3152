import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { openClient, type ServiceClient } from '../../snapshotter/api/client.ts';
import type { Snapshots } from '../../snapshotter/api/types/snapshots.ts';
import { suite } from '../../snapshotter/service/testing/suite.ts';
import type { SuiteCase } from '../../snapshotter/service/testing/suite-context.ts';
import { startContainerd } from '../../testkit/containerd.ts';
import { startDaemon } from '../../testkit/daemon.ts';
import { suiteLifetime, undoAfter } from '../../testkit/lifetime.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { containerdVersions, unpackContainerd } from './testing/containerd-versions.ts';

/**
 * The cases of snapshotter/service/testing/suite.ts through each containerd: on its overlayfs, which shows that the cases
 * are right, and on our daemon. The case of 128 layers takes as long as all others together and asks nothing more of
 * containerd, so it runs on overlayfs only in snapshotter/service/suite.root.test.ts.
 */
const casesOf: Readonly<Record<string, readonly SuiteCase[]>> = {
  overlayfs: suite.filter(({ title }) => !title.startsWith('128 layers')),
  stargz: suite,
};

// Concurrently: each mostly waits.
describe('the snapshotter suite on each containerd', {
  concurrency: containerdVersions.length,
  timeout: 300_000,
}, () => {
  for (const version of containerdVersions) {
    describe(`containerd ${version.line}`, { concurrency: 1, timeout: 240_000 }, () => {
      const lifetime = suiteLifetime();
      let scratch: string;
      let client: ServiceClient<Snapshots>;

      before(
        async () => {
          const command = await unpackContainerd(version, AbortSignal.timeout(120_000));
          // A short path: mount(2) takes one page of options, for 128 layers.
          scratch = openScratch(lifetime, 'cs');
          const { address } = await startDaemon(lifetime, join(scratch, 's'));
          const containerd = await startContainerd(lifetime, join(scratch, 'c'), {
            command,
            snapshotter: 'stargz',
            snapshotterAddress: address,
          });
          client = openClient('containerd.services.snapshots.v1.Snapshots', containerd.address, { namespace: 'suite' });
          undoAfter(lifetime, () => client.close());
        },
        { timeout: 120_000 },
      );

      for (const [snapshotter, cases] of Object.entries(casesOf)) {
        for (const [index, { title, run }] of cases.entries()) {
          test(`${snapshotter}: ${title}`, { timeout: 60_000 }, async () => {
            const prefix = `${snapshotter}-${index}-`;
            const work = join(scratch, prefix);
            await mkdir(work);
            await run({ client, snapshotter, work, prefix });
          });
        }
      }
    });
  }
});
