import { readFile, realpath, statfs } from 'node:fs/promises';
import { availableParallelism, cpus, hostname, release, totalmem } from 'node:os';
import Docker from 'dockerode';
import { execa } from 'execa';
import { findCommand } from './commands.ts';
import { type MountEntry, listMounts } from '../../snapshotter/platform/mountinfo.ts';

/** The host that results were measured on, as environment.json records it. */
export interface MachineDescription {
  readonly hostname: string;
  readonly distribution: string;
  readonly kernel: string;
  readonly architecture: string;
  readonly cpu: { readonly model: string; readonly count: number };
  readonly memoryBytes: number;
  /** Of the state directory. */
  readonly disk: {
    readonly device: string;
    readonly fileSystem: string;
    readonly sizeBytes: number;
    readonly freeBytes: number;
  };
  readonly cgroups: 'v1' | 'v2' | 'hybrid';
  /** The first line of each program's --version; null if it is not installed. containerd unpacks gzip with unpigz. */
  readonly versions: Readonly<Record<string, string | null>>;
  /** null: no Docker engine answers. */
  readonly docker: { readonly version: string; readonly runningContainers: number } | null;
  readonly loadAverage: string;
}

const versionCommands: Readonly<Record<string, readonly string[]>> = {
  containerd: ['--version'],
  runc: ['--version'],
  'docker-registry': ['--version'],
  buildah: ['--version'],
  mmdebstrap: ['--version'],
  unpigz: ['--version'],
};

export async function describeMachine(stateDir: string): Promise<MachineDescription> {
  const mounts = listMounts();
  const versions: Record<string, string | null> = { node: process.version };
  const names = Object.keys(versionCommands);
  const found = await Promise.all(names.map((name) => readVersion(name, versionCommands[name]!)));
  for (const [index, name] of names.entries()) versions[name] = found[index]!;
  return {
    hostname: hostname(),
    distribution: await readDistribution(),
    kernel: release(),
    architecture: process.arch,
    cpu: { model: cpus()[0]?.model ?? 'unknown', count: availableParallelism() },
    memoryBytes: totalmem(),
    disk: await describeDisk(stateDir, mounts),
    cgroups: cgroupVersion(mounts),
    versions,
    docker: await describeDocker(),
    loadAverage: (await readFile('/proc/loadavg', 'utf8')).trim(),
  };
}

/** One sentence for each thing that may disturb a measurement; printed, and kept with the results. */
export function noiseWarnings(machine: MachineDescription): string[] {
  const warnings: string[] = [];
  if ((machine.docker?.runningContainers ?? 0) > 0) {
    warnings.push(`${machine.docker!.runningContainers} Docker containers are running: they compete for CPU and disk`);
  }
  const load = Number(machine.loadAverage.split(' ')[0]);
  if (load > machine.cpu.count) {
    warnings.push(`the load average is ${load} on ${machine.cpu.count} CPUs: something else is busy`);
  }
  return warnings;
}

async function readVersion(name: string, args: readonly string[]): Promise<string | null> {
  const path = await findCommand(name);
  if (path === undefined) return null;
  const { stdout, stderr } = await execa(path, args, { reject: false, timeout: 10_000, stdin: 'ignore' });
  return `${stdout}\n${stderr}`.trim().split('\n')[0]!;
}

async function readDistribution(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? 'unknown';
}

async function describeDisk(stateDir: string, mounts: readonly MountEntry[]): Promise<MachineDescription['disk']> {
  const path = await realpath(stateDir);
  const holding = mounts
    .filter((mount) => mount.path === '/' || path === mount.path || path.startsWith(`${mount.path}/`))
    .reduce((best, mount) => (mount.path.length >= best.path.length ? mount : best));
  const { blocks, bavail, bsize } = await statfs(path);
  return {
    device: holding.source,
    fileSystem: holding.type,
    sizeBytes: blocks * bsize,
    freeBytes: bavail * bsize,
  };
}

function cgroupVersion(mounts: readonly MountEntry[]): MachineDescription['cgroups'] {
  const v1 = mounts.some((mount) => mount.type === 'cgroup');
  const v2 = mounts.some((mount) => mount.type === 'cgroup2');
  return v1 ? (v2 ? 'hybrid' : 'v1') : 'v2';
}

async function describeDocker(): Promise<MachineDescription['docker']> {
  const docker = new Docker({ timeout: 3_000 });
  try {
    const [version, containers] = await Promise.all([docker.version(), docker.listContainers()]);
    return { version: version.Version, runningContainers: containers.length };
  } catch {
    return null;
  }
}
