import { readlinkSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { programFiles } from '../../../testkit/images.ts';
import { until } from '../../../testkit/until.ts';
import { HarnessError } from '../../cli/error.ts';
import type { Containerd } from '../../containerd/containerd.ts';
import { gcRoot } from '../../containerd/gc-root.ts';
import { buildSpec } from '../../containerd/oci-spec.ts';
import { encodeRuncOptions } from '../../containerd/runc-options.ts';
import { sendSignal } from '../../host/processes.ts';
import { monotonicMs, tallyJournal } from './journal.ts';
import { maxReadMs, type ReadTally } from './tally.ts';

export const snapshotter = 'stargz';

export interface ReaderSetting {
  /** Unique on this machine; also names its control group. */
  readonly id: string;
  /** The node's; containerd's own is `containerdDirectory`. */
  readonly directory: string;
  readonly containerdDirectory: string;
  /** The top layer's snapshot. */
  readonly parent: string;
  readonly reference: string;
  readonly imageNumber: number;
  readonly seed: number;
}

/**
 * A container whose root file system is a snapshot of the image, and which reads it. Only the reader's program comes from the
 * host: an image's own would die of SIGBUS where a read gets EIO.
 */
export interface ReaderContainer {
  readonly id: string;
  readonly pid: number;
  /** Its root file system as the shim mounts it, until `remove`. */
  readonly rootfs: string;
  /** As in /proc/PID/ns/net. */
  readonly networkNamespace: string;
  /** Throws unless this containerd, which may have been restarted, has it as running. */
  checkRunning(containerd: Containerd): Promise<void>;
  /** From now on zeros and errors are counted apart. */
  enterWindow(): void;
  /** Lets the reads under way end. */
  end(containerd: Containerd): Promise<void>;
  /** As the kernel does when memory runs out: containerd has no part in it. */
  kill(): void;
  /** After `end` or `kill`: the task, the container and the snapshot. */
  remove(containerd: Containerd): Promise<void>;
  addTo(tally: ReadTally): Promise<void>;
}

const program = fileURLToPath(new URL('reader-process.ts', import.meta.url));
const repository = fileURLToPath(new URL('../../..', import.meta.url));
const callLimitMs = 60_000;
/** containerd dials a restarted snapshotter with a backoff. */
const redialLimitMs = 60_000;
const redialIntervalMs = 100;
const beginLimitMs = 60_000;
const killedStatus = 128 + 9;

export async function startReader(
  containerd: Containerd,
  setting: ReaderSetting,
  signal: AbortSignal,
): Promise<ReaderContainer> {
  const { id, directory, containerdDirectory } = setting;
  const journalPath = join(directory, `${id}.journal`);
  const rootfs = join(containerdDirectory, 'state/io.containerd.runtime.v2.task/k8s.io', id, 'rootfs');
  const pid = await startTask(containerd, setting, journalPath, signal);
  const networkNamespace = readlinkSync(`/proc/${pid}/ns/net`);
  // Before, it handles no signal: one that init of a PID namespace does not handle is ignored (pid_namespaces(7)).
  const hasBegun = async () => (await stat(journalPath)).size > 0;
  await until(`the reader in ${id} reads`, hasBegun, { limitMs: beginLimitMs, signal });
  let [endedMs, windowMs, isKilled] = [Infinity, Infinity, false];
  return {
    ...{ id, pid, rootfs, networkNamespace },
    async checkRunning({ client }) {
      const { process } = await client.tasks.get({ containerId: id });
      if (process?.status === 'RUNNING' && process.pid === pid) return;
      throw new HarnessError('start', `a restarted containerd has ${id} as ${process?.status}, pid ${process?.pid}`);
    },
    enterWindow() {
      windowMs = monotonicMs();
    },
    async end({ client }) {
      await client.tasks.kill({ containerId: id, signal: 15 });
      await client.tasks.wait({ containerId: id }, { timeoutMs: maxReadMs });
      endedMs = monotonicMs();
    },
    kill() {
      endedMs = monotonicMs();
      isKilled = true;
      sendSignal(pid, 'SIGKILL');
    },
    async remove({ client }) {
      const { exitStatus } = await client.tasks.wait({ containerId: id }, { timeoutMs: maxReadMs });
      await client.tasks.delete({ containerId: id });
      await client.containers.delete({ id });
      await client.snapshots.remove({ snapshotter, key: id });
      if (exitStatus === (isKilled ? killedStatus : 0)) return;
      throw new HarnessError('not-ready', `the reader in ${id} ended with status ${exitStatus}`);
    },
    async addTo(tally) {
      const journal = await readFile(journalPath, 'utf8');
      tallyJournal(tally, journal, Math.min(endedMs, monotonicMs()), windowMs);
    },
  };
}

/** Its pid. */
async function startTask(
  { client }: Containerd,
  { id, containerdDirectory, parent, reference, imageNumber, seed }: ReaderSetting,
  journalPath: string,
  signal: AbortSignal,
): Promise<number> {
  const options = { signal, timeoutMs: callLimitMs };
  const { mounts } = await until(
    `the daemon prepares a snapshot for ${id}`,
    () => client.snapshots.prepare({ snapshotter, key: id, parent, labels: gcRoot() }, options),
    { limitMs: redialLimitMs, intervalMs: redialIntervalMs, signal },
  );
  const files = [...(await programFiles([process.execPath])), repository];
  const spec = buildSpec({
    image: {},
    user: { uid: 0, gid: 0 },
    command: [process.execPath, program, '/', String(imageNumber), String(seed)],
    env: [],
    hostname: id,
    cgroupsPath: `/${id}`,
    files: Object.fromEntries(files.map((file) => [file, file])),
  });
  const runtimeOptions = encodeRuncOptions({ root: join(containerdDirectory, 'runc') });
  await client.containers.create(
    {
      container: {
        ...{ id, image: reference, snapshotter, snapshotKey: id },
        runtime: { name: 'io.containerd.runc.v2', options: runtimeOptions },
        spec: {
          type_url: 'types.containerd.io/opencontainers/runtime-spec/1/Spec',
          value: Buffer.from(JSON.stringify(spec)),
        },
      },
    },
    options,
  );
  // The shim itself writes the file: output survives the death of containerd, and the disk of the node may be full.
  const output = `file://${journalPath}`;
  await client.tasks.create({ containerId: id, rootfs: mounts, stdout: output, stderr: output }, options);
  const { pid } = await client.tasks.start({ containerId: id }, options);
  return pid;
}
