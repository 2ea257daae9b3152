import { holdTo, type Limit } from '../../../measurements/limit.ts';
import type { Columns } from '../../../measurements/table.ts';

/** What a reader saw. `window`: while the daemon and its keeper are both dead, until the container is gone. */
export interface ReadTally {
  reads: number;
  bytes: number;
  /** Bytes that are neither right nor zero. */
  wrongBytes: number;
  zeroBytes: number;
  eios: number;
  /** Of any other kind: ENOTCONN, ESTALE. */
  otherErrors: number;
  longestMs: number;
  windowReads: number;
  windowZeroBytes: number;
  windowErrors: number;
}

export function emptyReadTally(): ReadTally {
  return {
    reads: 0,
    bytes: 0,
    wrongBytes: 0,
    zeroBytes: 0,
    eios: 0,
    otherErrors: 0,
    longestMs: 0,
    windowReads: 0,
    windowZeroBytes: 0,
    windowErrors: 0,
  };
}

/** What befalls one node. */
export const faultKinds = [
  'daemonKills',
  'keeperKills',
  'bothKills',
  'containerdKills',
  'containerKills',
  'containerdContainerKills',
  'daemonUpdates',
  'daemonStops',
  'keeperStops',
  'containerdStops',
  'linkStalls',
  'linkCuts',
  'diskFills',
] as const;
export type FaultKind = (typeof faultKinds)[number];
export type FaultCounts = Record<FaultKind, number>;

/** What befalls the registry, which all nodes share. */
export interface RegistryFaults {
  registryKills: number;
  registryStops: number;
}

export function noFaults(): FaultCounts {
  return Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as FaultCounts;
}

/** One life of one node, from an empty directory to an empty directory: a row of lives.csv. */
export interface Life extends ReadTally, FaultCounts {
  readonly node: number;
  readonly life: number;
  readonly face: string;
  readonly durationMs: number;
  /** What was still there after the orderly end (remains.ts), and files that read wrong before it. */
  readonly leftovers: number;
  readonly failure: string | undefined;
}

const whole = 'integer' as const;
export const lifeColumns: Columns<Life> = {
  node: whole,
  life: whole,
  face: 'text',
  durationMs: 'number',
  reads: whole,
  bytes: whole,
  wrongBytes: whole,
  zeroBytes: whole,
  eios: whole,
  otherErrors: whole,
  longestMs: 'number',
  windowReads: whole,
  windowZeroBytes: whole,
  windowErrors: whole,
  ...(Object.fromEntries(faultKinds.map((kind) => [kind, whole])) as Record<FaultKind, 'integer'>),
  leftovers: whole,
  failure: 'text',
};

/** How long a read may take: the keeper's grace period, and the daemon's own limit on a miss (`config` in node.ts). */
export const maxReadMs = 60_000;

export function limitsOf(lives: readonly Life[]): Limit[] {
  const total = (key: Exclude<keyof Life, 'face' | 'failure'>) => lives.reduce((sum, life) => sum + life[key], 0);
  return [
    holdTo('wrong bytes', total('wrongBytes'), 0, 'bytes'),
    holdTo('zeros outside of the window in which the daemon and its keeper are dead', total('zeroBytes'), 0, 'bytes'),
    holdTo('longest read', Math.max(0, ...lives.map(({ longestMs }) => longestMs)), maxReadMs, 'ms'),
    holdTo('errors other than EIO outside of that window', total('otherErrors'), 0, 'errors'),
    holdTo('left behind', total('leftovers'), 0, 'snapshots, mounts, processes, namespaces, files'),
    holdTo('lives that failed', lives.filter(({ failure }) => failure !== undefined).length, 0, 'lives'),
  ];
}

/** A row of faults.csv. */
export interface FaultTotal {
  readonly fault: string;
  readonly count: number;
}

export const faultColumns: Columns<FaultTotal> = { fault: 'text', count: whole };

/** `kills`: all SIGKILLs. `bothKills` and `containerdContainerKills` are two each. */
export function totalFaults(lives: readonly Life[], registry: RegistryFaults): FaultTotal[] {
  const sum = (kind: FaultKind) => lives.reduce((total, life) => total + life[kind], 0);
  const once = sum('daemonKills') + sum('keeperKills') + sum('containerdKills') + sum('containerKills');
  const twice = sum('bothKills') + sum('containerdContainerKills');
  const kills = once + 2 * twice + registry.registryKills;
  return [
    { fault: 'kills', count: kills },
    ...faultKinds.map((kind) => ({ fault: kind, count: sum(kind) })),
    ...Object.entries(registry).map(([fault, count]: [string, number]) => ({ fault, count })),
  ];
}
