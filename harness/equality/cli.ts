/**
 * The equality check on the workloads' own images, as `npm run equality`: builds what is missing, then compares every
 * lazily mounted image, stargz and eStargz, with the same image unpacked by overlayfs.
 *
 *     npm run equality -- [--workloads a,b] [--mount fuse,erofs] [--state-dir DIR]
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { defaultWorkloads, workloads } from '../../workloads/catalogue.ts';
import { cellRoom } from '../cell-room.ts';
import { messageOf } from '../error.ts';
import { benchPackages, ensurePackages } from '../host/install.ts';
import { ensureImages } from '../images/ensure.ts';
import { estargz } from '../modes/estargz.ts';
import { stargz } from '../modes/stargz.ts';
import { selectNamed } from '../options.ts';
import { recordAccesses } from '../record.ts';
import { startRegistry } from '../registry/registry.ts';
import { compareMounts } from './compare.ts';

const { values } = parseArgs({
  options: {
    workloads: { type: 'string' },
    mount: { type: 'string', default: 'fuse' },
    'state-dir': { type: 'string', default: '/var/lib/stargz-bench' },
  },
});

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort(new Error(name)));
try {
  process.exitCode = (await compareAll(interrupted.signal)) ? 0 : 1;
} catch (error) {
  process.stderr.write(`equality: ${messageOf(error)}\n`);
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
}

async function compareAll(signal: AbortSignal): Promise<boolean> {
  const stateDir = values['state-dir'];
  const say = (text: string) => void process.stdout.write(`${text}\n`);
  const reporter = { step: () => {}, warn: say };
  await ensurePackages(benchPackages, reporter, signal);
  const chosen =
    values.workloads === undefined ? defaultWorkloads : selectNamed('workload', workloads, values.workloads.split(','));
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  const client = new RegistryClient();
  let equal = true;
  try {
    const request = {
      stateDir,
      registry: registry.address,
      client,
      variants: ['stargz', 'estargz'] as const,
      record: (workload: (typeof workloads)[number], image: string, path: string, recordSignal: AbortSignal) =>
        recordAccesses({ stateDir, registryAddress: registry.address, workload, image, path }, recordSignal),
      onStep: say,
    };
    const sets = await ensureImages(chosen, request, signal);
    for (const [name, set] of sets) {
      for (const mode of [stargz, estargz]) {
        for (const backend of values.mount.split(',')) {
          const image = `${registry.address}/${set[mode.variant]}`;
          const daemonConfig = { ...mode.daemonConfig, mount: { backend } };
          const room = cellRoom(stateDir);
          const result = await compareMounts({ room, registryAddress: registry.address, image, daemonConfig }, signal);
          const verdict = result.differences.length === 0 ? 'equal' : 'DIFFERENT';
          say(
            `${name} ${mode.name} (${result.mount}): ${result.entries} entries in ${result.layers} layers, ${verdict}`,
          );
          for (const difference of result.differences) say(`  ${difference}`);
          equal &&= result.differences.length === 0;
        }
      }
    }
  } finally {
    await client.close();
    await registry.close();
  }
  return equal;
}
