import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openClient } from '../../../snapshotter/api/client.ts';
import { mountsUnder } from '../../../snapshotter/platform/mountinfo.ts';
import { findProcessesInCgroup, findProcessesNaming } from '../../host/processes.ts';

/** Snapshots that the daemon still has. */
export async function listSnapshots(daemonAddress: string): Promise<string[]> {
  const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemonAddress);
  const names: string[] = [];
  try {
    for await (const { info } of snapshots.list({})) names.push(...info.map(({ name }) => `snapshot ${name}`));
  } finally {
    snapshots.close();
  }
  return names;
}

export interface EndedNode {
  readonly directory: string;
  readonly diskPath: string;
  readonly stateRoot: string;
  /** Starts the names of its containers, and so of their control groups. */
  readonly idPrefix: string;
  /** Those of its containers, as in /proc/PID/ns/net. */
  readonly networkNamespaces: ReadonlySet<string>;
}

/** After the daemon and containerd have ended: processes (shims too), mounts, pinned namespaces, the keeper's socket. */
export async function findRemains(node: EndedNode): Promise<string[]> {
  const { directory, diskPath, stateRoot, idPrefix, networkNamespaces } = node;
  const pids = new Set([...(await findProcessesNaming(directory)), ...(await findProcessesInCgroup(idPrefix))]);
  const mounts = mountsUnder(directory).filter(({ path }) => path !== diskPath);
  return [
    ...[...pids].map((pid) => `process ${pid}: ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`),
    ...mounts.map(({ path }) => `mount ${path}`),
    ...pinnedNamespaces().filter((name) => networkNamespaces.has(name)),
    ...(existsSync(join(stateRoot, 'keeper.sock')) ? ['keeper.sock'] : []),
  ];
}

/** Without processes, a network namespace lives on only where it is mounted: proc_pid_mountinfo(5), field 4. */
function pinnedNamespaces(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.map((line) => line.split(' ')[3] ?? '').filter((root) => root.startsWith('net:['));
}
