import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** CPU time and memory of a process and its descendants so far. */
export interface ProcessCost {
  /** User and system time, including that of children it has waited for. */
  readonly cpuMs: number;
  /** Peak resident set of the process itself. */
  readonly rssPeakKib: number;
  /** Sum of the peaks of its living descendants; shared pages count in each of them. */
  readonly childrenRssPeakKib: number;
}

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly cpuTicks: number;
}

/** USER_HZ: fixed at 100 by the kernel's user-space ABI on every architecture Node runs on. */
const ticksPerSecond = 100;

/** Undefined if the process is gone. */
export async function readCost(pid: number): Promise<ProcessCost | undefined> {
  const family = await readFamily(pid);
  if (family.length === 0) return undefined;
  const peaks = await Promise.all(family.map((member) => readPeakKib(member.pid)));
  return {
    cpuMs: (family.reduce((sum, member) => sum + member.cpuTicks, 0) * 1000) / ticksPerSecond,
    rssPeakKib: peaks[0]!,
    childrenRssPeakKib: peaks.slice(1).reduce((sum, peak) => sum + peak, 0),
  };
}

/** Processes whose command line names a path below `directory`, such as those that a killed run left behind. */
export async function findProcessesNaming(directory: string): Promise<number[]> {
  return await findPids(async (pid) => {
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    return argv.some((argument) => argument.split('=').some((part) => part.startsWith(`${directory}/`)));
  });
}

/** Processes in or below a control group, of any hierarchy, whose name starts with `prefix`. */
export async function findProcessesInCgroup(prefix: string): Promise<number[]> {
  return await findPids(async (pid) => {
    const lines = (await readFile(`/proc/${pid}/cgroup`, 'utf8')).split('\n');
    return lines.some((line) =>
      line
        .split('/')
        .slice(1)
        .some((name) => name.startsWith(prefix)),
    );
  });
}

/** Sends SIGKILL and waits until the processes have ended; returns those that still run at the limit. */
export async function killProcesses(pids: readonly number[], limitMs = 5_000): Promise<number[]> {
  for (const pid of pids) sendSignal(pid, 'SIGKILL');
  const until = performance.now() + limitMs;
  let alive = [...pids];
  while (alive.length > 0) {
    const checks = await Promise.all(alive.map(isAlive));
    alive = alive.filter((_, index) => checks[index]);
    if (performance.now() > until) return alive;
    if (alive.length > 0) await sleep(20);
  }
  return alive;
}

/** False if the process does not exist. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** False for a zombie: it has ended and waits to be reaped. */
export async function isAlive(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return false;
  const state = text.slice(text.lastIndexOf(')') + 2, text.lastIndexOf(')') + 3);
  return state !== 'Z' && state !== 'X';
}

async function readFamily(pid: number): Promise<ProcessStat[]> {
  const all = await Promise.all((await listPids()).map(readStat));
  const children = Map.groupBy(
    all.filter((stat) => stat !== undefined),
    (stat) => stat.parent,
  );
  const self = all.find((stat) => stat?.pid === pid);
  const family = self === undefined ? [] : [self];
  // The array grows during the loop: a breadth-first walk.
  for (const member of family) family.push(...(children.get(member.pid) ?? []));
  return family;
}

/** proc_pid_stat(5): fields are counted from the last parenthesis, since the name may contain any character. */
async function readStat(pid: number): Promise<ProcessStat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const cpuTicks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { pid, parent: Number(fields[1]), cpuTicks };
}

async function readPeakKib(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
}

/** Without this process, and without zombies, which stay in their control group until they are reaped. */
async function findPids(matches: (pid: number) => Promise<boolean>): Promise<number[]> {
  const pids = (await listPids()).filter((pid) => pid !== process.pid);
  const isFound = async (pid: number) => (await matches(pid)) && (await isAlive(pid));
  const found = await Promise.all(pids.map((pid) => isFound(pid).catch(() => false)));
  return pids.filter((_, index) => found[index]);
}

async function listPids(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}
