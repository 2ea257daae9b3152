import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openClient, type ServiceClient } from '../../snapshotter/api/client.ts';
import type { Snapshots } from '../../snapshotter/api/types/snapshots.ts';
import { suite } from '../../snapshotter/service/testing/suite.ts';
import type { SuiteCase } from '../../snapshotter/service/testing/suite-context.ts';
import { Containerd } from '../containerd/containerd.ts';
import { unmountUnder } from '../host/mounts.ts';
import { findProcessesNaming, killProcesses } from '../host/processes.ts';
import { type SnapshotterDaemon, startDaemon } from '../cell/daemon.ts';
import { containerdVersions, unpackContainerd } from './testing/containerd-versions.ts';

/**
 * The cases of snapshotter/service/testing/suite.ts through each containerd: on its own overlayfs, which shows that the cases are
 * right for it, and on our daemon. The tallest takes as long as all others together and asks nothing of containerd that
 * they do not: of overlayfs it is asked in snapshotter/service/suite.root.test.ts only.
 */
const casesOf: Readonly<Record<string, readonly SuiteCase[]>> = {
  overlayfs: suite.filter(({ title }) => !title.startsWith('128 layers')),
  stargz: suite,
};

// At once: each spends much of its time waiting.
describe('the snapshotter suite on each containerd', {
  concurrency: containerdVersions.length,
  timeout: 300_000,
}, () => {
  for (const version of containerdVersions) {
    describe(`containerd ${version.line}`, { concurrency: 1, timeout: 240_000 }, () => {
      let scratch: string;
      let daemon: SnapshotterDaemon;
      let containerd: Containerd;
      let client: ServiceClient<Snapshots> | undefined;

      before(
        async () => {
          const signal = AbortSignal.timeout(120_000);
          const command = await unpackContainerd(version, signal);
          // Short: overlayfs takes a page of options for 128 layers, and sockets 107 bytes of path.
          scratch = await mkdtemp('/tmp/cs-');
          const compileCache = join(scratch, 'compile-cache');
          daemon = await startDaemon({ directory: join(scratch, 's'), config: {}, compileCache }, signal);
          containerd = await Containerd.start(
            {
              directory: join(scratch, 'c'),
              command,
              snapshotter: 'stargz',
              snapshotterAddress: daemon.address,
              registryAddress: '127.0.0.1:9',
            },
            signal,
          );
          client = openClient('containerd.services.snapshots.v1.Snapshots', containerd.address, { namespace: 'suite' });
        },
        { timeout: 120_000 },
      );

      after(async () => {
        client?.close();
        await containerd?.stop();
        await daemon?.stop();
        if (scratch === undefined) return;
        // A daemon that left something mounted left a keeper with it.
        await killProcesses(await findProcessesNaming(scratch));
        await unmountUnder(scratch);
        await rm(scratch, { recursive: true, force: true });
      });

      for (const [snapshotter, cases] of Object.entries(casesOf)) {
        for (const [index, { title, run }] of cases.entries()) {
          test(`${snapshotter}: ${title}`, { timeout: 60_000 }, async () => {
            const prefix = `${snapshotter}-${index}-`;
            const work = join(scratch, prefix);
            await mkdir(work);
            await run({ client: client!, snapshotter, work, prefix });
          });
        }
      }
    });
  }
});
