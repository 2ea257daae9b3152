import type { Workload } from '../../workloads/workload.ts';
import { readFile } from 'node:fs/promises';
import { startContainerdEngine } from './containerd-engine.ts';
import { startDockerEngine } from './docker-engine.ts';
import type { CellEngine } from './engine.ts';
import { type CellRegistry, type ContainerdPrograms, type Sandbox, openSandbox, clearSandbox } from './sandbox.ts';
import { type MeasuredPhase, type StartRecord, timelineOf } from './timeline.ts';
import { HarnessError, messageOf } from '../cli/error.ts';
import { dropCaches } from '../host/caches.ts';
import type { Mode } from '../run/mode.ts';
import type { Cell } from '../run/plan.ts';
import type { Link } from '../link/link.ts';
import type { LinkSetting } from '../../measurements/environment.ts';
import type { RegistryAccess } from '../registry/access.ts';
import type { Observations, Outcome } from '../../measurements/sample.ts';
import type { CellExecutor, CellPhase } from '../run/run.ts';

export interface CellExecutorOptions {
  readonly stateDir: string;
  /** Counts the traffic. With `access`, a proxy to registries that are not ours; undefined: they are reached directly. */
  readonly link: CellLink | undefined;
  /** Of a cell whose link has this setting. Default: `link`. */
  readonly linkOf?: (setting: LinkSetting) => CellLink;
  /** Undefined: the link leads to our registry. */
  readonly access?: Pick<RegistryAccess, 'hostsDirectory' | 'credentialFor'> | undefined;
  /** `repository:tag` of the image that a cell pulls from our registry; its whole name elsewhere. */
  readonly imageOf: (workload: Workload, mode: Mode) => string;
  /** What a warm daemon has pulled and run before `workload`. */
  readonly warmUpFor?: ((workload: Workload) => Workload) | undefined;
  /** A workload of another image that has layers of this one's; undefined where there is none. */
  readonly sharingWith?: (workload: Workload) => Workload | undefined;
  /** For all modes alike. Default: the machine's own. */
  readonly programs?: ContainerdPrograms | undefined;
}

type CellLink = Pick<Link, 'address' | 'counters' | 'reset' | 'readTrace'>;
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Measures a cell as docs/architecture.md describes it: cold start, three phases by the monotonic clock, then the proof. */
export function createCellExecutor(options: CellExecutorOptions): CellExecutor {
  const sandbox = openSandbox(options.stateDir);
  const run = async (request: MeasuredCell, signal: AbortSignal): Promise<Outcome> => {
    try {
      const { link: setting } = request.cell;
      const link = (setting && options.linkOf?.(setting)) ?? options.link;
      return await measureCell({ ...options, link }, sandbox, request, signal);
    } catch (error) {
      // The cell has stopped what it started; this removes what it could not stop.
      await clearSandbox(sandbox);
      signal.throwIfAborted();
      return { ok: false, error: messageOf(error) };
    }
  };
  return {
    execute: (cell, onPhase, signal) => run({ cell, onPhase }, signal),
    trace: async (cell, signal) => {
      const record: Mutable<StartRecord> = { phases: [], wallOffsetMs: 0, layerDigests: [] };
      const outcome = await run({ cell, onPhase: () => {}, record }, signal);
      if (!outcome.ok) throw new HarnessError('start', outcome.error);
      return timelineOf(record);
    },
    close: () => clearSandbox(sandbox),
  };
}

interface MeasuredCell {
  readonly cell: Cell;
  readonly onPhase: (phase: CellPhase) => void;
  /** Filled where the start is traced. */
  readonly record?: Mutable<StartRecord>;
}

async function measureCell(
  options: CellExecutorOptions,
  sandbox: Sandbox,
  request: MeasuredCell,
  signal: AbortSignal,
): Promise<Outcome> {
  const { onPhase, record } = request;
  const { workload, mode } = request.cell;
  onPhase('reset');
  await clearSandbox(sandbox);
  await dropCaches(signal);

  onPhase('start');
  const engine = await startEngine(options, sandbox, mode, record && 'trace', signal);
  const image = referenceOf(options, workload, mode);
  const observed: Mutable<Observations> = { image, snapshotter: mode.snapshotter, daemonState: mode.daemonState };
  let outcome: Outcome;
  try {
    await runBefore(options, engine, workload, mode, signal);
    const durations = await measurePhases(engine, options, request, image, observed, signal);
    outcome = { ok: true, ...durations, ...observed };
  } catch (error) {
    outcome = { ok: false, error: [messageOf(error), ...(await engine.explainEnds())].join('; '), ...observed };
  }
  onPhase('stop');
  const failures = await engine.stop();
  signal.throwIfAborted();
  // Transfers that were under way have a line only now.
  if (record !== undefined && engine.daemonLogPath !== undefined) {
    record.daemonLog = await readFile(engine.daemonLogPath, 'utf8');
  }
  return { ...outcome, warnings: failures };
}

function startEngine(
  { link, access, programs }: CellExecutorOptions,
  sandbox: Sandbox,
  mode: Mode,
  logLevel: string | undefined,
  signal: AbortSignal,
): Promise<CellEngine> {
  const registry: CellRegistry =
    access === undefined
      ? { registryAddress: link!.address }
      : { hostsDirectory: access.hostsDirectory, proxyAddress: link?.address };
  const place = { registry, programs, logLevel };
  if (mode.engine === 'docker') return startDockerEngine(sandbox, place, signal);
  return startContainerdEngine(sandbox, mode, place, signal);
}

function referenceOf({ link, access, imageOf }: CellExecutorOptions, workload: Workload, mode: Mode): string {
  const image = imageOf(workload, mode);
  return access === undefined ? `${link!.address}/${image}` : image;
}

/** Pulls and runs what the mode's state calls for; its container is gone before the measurement. */
async function runBefore(
  options: CellExecutorOptions,
  engine: CellEngine,
  workload: Workload,
  mode: Mode,
  signal: AbortSignal,
): Promise<void> {
  const { warmUpFor, sharingWith } = options;
  const other = { fresh: undefined, warm: warmUpFor?.(workload), again: workload, shared: sharingWith?.(workload) };
  const { daemonState = 'fresh' } = mode;
  const before = other[daemonState];
  if (before === undefined) {
    if (daemonState === 'fresh') return;
    throw new HarnessError('unsupported-image', `there is no workload to run before ${workload.name} in ${mode.name}`);
  }
  const image = referenceOf(options, before, mode);
  const container = await engine.prepareContainer(before);
  await engine.pull(image, signal, await options.access?.credentialFor(image, signal));
  await container.create(image, signal);
  await container.runUntilReady(signal);
  await container.stop();
}

/** Runs the three phases and reads the counters while everything still runs. Fills `observed` even if it throws. */
async function measurePhases(
  engine: CellEngine,
  { link, access }: CellExecutorOptions,
  { cell, onPhase, record }: MeasuredCell,
  image: string,
  observed: Mutable<Observations>,
  signal: AbortSignal,
) {
  const container = await engine.prepareContainer(cell.workload);
  const credential = await access?.credentialFor(image, signal);
  const before = await engine.cost();
  await link?.reset({ isTraced: record !== undefined });
  const measure = async <T>(phase: MeasuredPhase, step: () => Promise<T>) => {
    onPhase(phase);
    const startMs = monotonicMs();
    const value = await step();
    const endMs = monotonicMs();
    record?.phases.push({ phase, startMs, endMs });
    return { value, durationMs: endMs - startMs };
  };
  if (record !== undefined) record.wallOffsetMs = Date.now() - monotonicMs();
  try {
    const { durationMs: pullMs } = await measure('pull', () => engine.pull(image, signal, credential));
    const { value: created, durationMs: createMs } = await measure('create', () => container.create(image, signal));
    observed.imageBytes = created.sizeBytes;
    observed.layers = created.layers;
    const { durationMs: runMs } = await measure('run', () => container.runUntilReady(signal));
    onPhase('collect');
    // Traffic first: a lazy layer may still be fetching.
    if (record === undefined) await observeWire(link, observed);
    else Object.assign(record, { link: await link?.readTrace(), layerDigests: created.layerDigests });
    const { fault, ...findings } = await engine.inspect(image, signal);
    Object.assign(observed, findings);
    if (fault !== undefined) throw new Error(fault);
    return { pullMs, createMs, runMs };
  } catch (error) {
    await observeWire(link, observed).catch(() => {});
    throw error;
  } finally {
    const { containerdCpuMs, daemonCpuMs, ...cost } = await engine.cost();
    Object.assign(observed, cost);
    // A first run is charged with the daemon's start, a second run with neither that nor the first.
    const isFirst = (observed.daemonState ?? 'fresh') === 'fresh';
    observed.daemonCpuMs = daemonCpuMs && daemonCpuMs - (isFirst ? 0 : (before.daemonCpuMs ?? 0));
    if (containerdCpuMs !== undefined && before.containerdCpuMs !== undefined) {
      observed.containerdCpuMs = containerdCpuMs - before.containerdCpuMs;
    }
  }
}

async function observeWire(link: CellExecutorOptions['link'], observed: Mutable<Observations>): Promise<void> {
  if (link === undefined) return;
  const { bytes, requests } = await link.counters();
  observed.wireBytes = bytes;
  observed.wireRequests = requests;
}

/** CLOCK_MONOTONIC, which the link's process shares. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
