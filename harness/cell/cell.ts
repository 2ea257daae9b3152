import type { Workload } from '../../workloads/workload.ts';
import { type Sandbox, openSandbox, clearSandbox, type RunningCell, startCell } from './sandbox.ts';
import { messageOf } from '../cli/error.ts';
import { dropCaches } from '../host/caches.ts';
import type { Mode } from '../run/mode.ts';
import type { Cell } from '../run/plan.ts';
import type { Link } from '../link/link.ts';
import type { Observations, Outcome } from '../../measurements/sample.ts';
import type { CellExecutor, CellPhase } from '../run/run.ts';

export interface CellExecutorOptions {
  readonly stateDir: string;
  /** Between containerd and the registry; counts the traffic. */
  readonly link: Pick<Link, 'address' | 'counters' | 'reset'>;
  /** `repository:tag` of the image that a cell pulls. */
  readonly imageOf: (workload: Workload, mode: Mode) => string;
  /** What a warm daemon has pulled and run before `workload`. */
  readonly warmUpFor?: (workload: Workload) => Workload;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Measures a cell as docs/architecture.md describes it: cold start, three phases by the monotonic clock, then the proof. */
export function createCellExecutor(options: CellExecutorOptions): CellExecutor {
  const sandbox = openSandbox(options.stateDir);
  return {
    execute: async (cell, onPhase, signal) => {
      try {
        return await measureCell(options, sandbox, cell, onPhase, signal);
      } catch (error) {
        // The cell has stopped what it started; this removes what it could not stop.
        await clearSandbox(sandbox);
        signal.throwIfAborted();
        return { ok: false, error: messageOf(error) };
      }
    },
    close: () => clearSandbox(sandbox),
  };
}

async function measureCell(
  options: CellExecutorOptions,
  sandbox: Sandbox,
  { workload, mode }: Cell,
  onPhase: (phase: CellPhase) => void,
  signal: AbortSignal,
): Promise<Outcome> {
  const { link } = options;
  onPhase('reset');
  await clearSandbox(sandbox);
  await dropCaches(signal);

  onPhase('start');
  const { snapshotter, daemonConfig, peer } = mode;
  const setting = { snapshotter, daemonConfig, peer, registryAddress: link.address };
  const running = await startCell(sandbox, setting, signal);
  const image = `${link.address}/${options.imageOf(workload, mode)}`;
  const observed: Mutable<Observations> = { image, snapshotter, daemonState: mode.daemonState };
  let outcome: Outcome;
  try {
    if (mode.daemonState === 'warm') await warmUp(options, running, workload, mode, signal);
    const durations = await measurePhases(running, link, workload, image, observed, onPhase, signal);
    outcome = { ok: true, ...durations, ...observed };
  } catch (error) {
    outcome = { ok: false, error: await explain(error, running), ...observed };
  }
  onPhase('stop');
  const failures = await running.stop();
  signal.throwIfAborted();
  return { ...outcome, warnings: failures };
}

/** Pulls and runs another workload first; its container is gone before the measurement. */
async function warmUp(
  { link, imageOf, warmUpFor }: CellExecutorOptions,
  { containerd, prepareContainer }: RunningCell,
  workload: Workload,
  mode: Mode,
  signal: AbortSignal,
): Promise<void> {
  const other = warmUpFor?.(workload) ?? workload;
  const image = `${link.address}/${imageOf(other, mode)}`;
  const container = await prepareContainer(other);
  await containerd.pull(image, signal);
  await container.create(await containerd.readImage(image, signal), signal);
  await container.runUntilReady(signal);
  await container.stop();
}

/** Runs the three phases and reads the counters while everything still runs. Fills `observed` even if it throws. */
async function measurePhases(
  running: RunningCell,
  link: CellExecutorOptions['link'],
  workload: Workload,
  image: string,
  observed: Mutable<Observations>,
  onPhase: (phase: CellPhase) => void,
  signal: AbortSignal,
) {
  const { containerd, daemon } = running;
  const container = await running.prepareContainer(workload);
  const costBefore = await containerd.cost();
  await link.reset();
  try {
    onPhase('pull');
    const pullMs = await timed(() => containerd.pull(image, signal));
    onPhase('create');
    const created = await timedValue(async () => {
      const pulled = await containerd.readImage(image, signal);
      await container.create(pulled, signal);
      return pulled;
    });
    observed.imageBytes = created.value.sizeBytes;
    observed.layers = created.value.layers.length;
    onPhase('run');
    const runMs = await timed(() => container.runUntilReady(signal));
    onPhase('collect');
    // Traffic first: a lazy layer may still be fetching.
    await observeWire(link, observed);
    const proof = await containerd.prove(created.value, signal);
    observed.lazyLayers = proof.lazyLayers;
    observed.mount = await running.mountKind();
    observed.mountReason = running.isPeer ? undefined : daemon?.status().face?.reason;
    if (daemon !== undefined && proof.downloaded.length > 0) {
      throw new Error(`not pulled lazily: ${proof.downloaded.join(', ')}`);
    }
    return { pullMs, createMs: created.durationMs, runMs };
  } catch (error) {
    await observeWire(link, observed).catch(() => {});
    throw error;
  } finally {
    const [daemonCost, costAfter] = await Promise.all([daemon?.cost(), containerd.cost()]);
    observed.daemonCpuMs = daemonCost?.cpuMs;
    observed.daemonRssPeakKib = daemonCost?.rssPeakKib;
    observed.keeperRssPeakKib = daemonCost?.childrenRssPeakKib || undefined;
    if (costBefore !== undefined && costAfter !== undefined) {
      observed.containerdCpuMs = costAfter.cpuMs - costBefore.cpuMs;
    }
  }
}

async function observeWire(link: CellExecutorOptions['link'], observed: Mutable<Observations>): Promise<void> {
  const { bytes, requests } = await link.counters();
  observed.wireBytes = bytes;
  observed.wireRequests = requests;
}

async function timed(phase: () => Promise<void>): Promise<number> {
  return (await timedValue(phase)).durationMs;
}

async function timedValue<T>(phase: () => Promise<T>): Promise<{ value: T; durationMs: number }> {
  const start = process.hrtime.bigint();
  const value = await phase();
  return { value, durationMs: Number(process.hrtime.bigint() - start) / 1e6 };
}

/** If a program has ended, the end of its log explains more than the failed call. */
async function explain(error: unknown, { containerd, daemon }: RunningCell): Promise<string> {
  const ends = await Promise.all([containerd.explainEnd(), daemon?.explainEnd()]);
  return [messageOf(error), ...ends.filter((end) => end !== undefined)].join('; ');
}
