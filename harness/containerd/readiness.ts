import type { Workload } from '../../workloads/workload.ts';
import { HarnessError, lastLines } from '../cli/error.ts';
import { probeUntilReady } from './network-probe.ts';
import type { OutputLines } from './output-lines.ts';

/** A started container, whatever engine runs it. */
export interface StartedContainer {
  readonly id: string;
  /** Of its first process, whose network namespace is the container's; 0 if it has ended. */
  readonly pid: number;
  /** Its exit status. May reject once nothing waits for it any more. */
  readonly exited: Promise<number>;
  readonly output: OutputLines;
  /** Resolves when everything that it printed was read. */
  readonly drained: Promise<unknown>;
}

/** How long the output of a container that has ended may take to arrive. */
const drainLimitMs = 5_000;

/** Resolves when the workload is ready, by its own sign. Its time limit starts here, with `start`. */
export async function startUntilReady(
  workload: Workload,
  id: string,
  output: OutputLines,
  start: (signal: AbortSignal) => Promise<StartedContainer>,
  signal: AbortSignal,
): Promise<void> {
  const timeout = AbortSignal.timeout(workload.timeoutMs);
  const limited = AbortSignal.any([signal, timeout]);
  try {
    await waitUntilReady(workload, await start(limited), limited);
  } catch (error) {
    signal.throwIfAborted();
    if (!timeout.aborted) throw error;
    if (workload.ready.kind === 'exit' && workload.ready.isAssumed) throw neverSaid(workload, output, error);
    throw new HarnessError(
      'timeout',
      `${workload.name} in ${id} was not ready after ${workload.timeoutMs / 1000} s: ${said(output)}`,
      { cause: error },
    );
  }
}

function neverSaid({ name, timeoutMs }: Workload, output: OutputLines, cause: unknown): HarnessError {
  return new HarnessError(
    'timeout',
    `${name} still runs after ${timeoutMs / 1000} s, and nothing says when it is ready: ${said(output)}`,
    {
      remedy:
        'name its sign with --ready-line, --ready-http or --ready-port; ' +
        'if it ends by itself, with --ready-exit and a longer --ready-limit',
      cause,
    },
  );
}

async function waitUntilReady(workload: Workload, container: StartedContainer, signal: AbortSignal): Promise<void> {
  const { ready } = workload;
  const { exited, output } = container;
  switch (ready.kind) {
    case 'exit': {
      const exitStatus = await exited;
      await drain(container);
      if (exitStatus !== 0) throw ended(workload, exitStatus, output);
      const stdout = output.text('stdout');
      if (ready.stdout === undefined || stdout === ready.stdout) return;
      throw new HarnessError(
        'not-ready',
        `${workload.name} printed ${JSON.stringify(stdout.slice(0, 200))} instead of ${JSON.stringify(ready.stdout)}`,
      );
    }
    case 'line': {
      const seen = waitForLine(output, ready.pattern, ready.occurrence ?? 1);
      return await untilReadyOrEnded(workload, container, seen.promise, seen.stop);
    }
    case 'http':
    case 'port': {
      const stopped = new AbortController();
      const answered = probeUntilReady(container.pid, ready, AbortSignal.any([signal, stopped.signal]));
      return await untilReadyOrEnded(workload, container, answered, () => stopped.abort());
    }
    default:
      // A kind without a case would count as ready at once.
      throw new HarnessError('not-ready', `unknown readiness ${JSON.stringify(ready satisfies never)}`);
  }
}

/** Its end ends the wait, whatever it was ready by. */
async function untilReadyOrEnded(
  workload: Workload,
  container: StartedContainer,
  ready: Promise<undefined>,
  stop: () => void,
): Promise<void> {
  const { exited, output } = container;
  let isReady = false;
  ready.then(
    () => {
      isReady = true;
    },
    () => {},
  );
  try {
    const exitStatus = await Promise.race([ready, exited]);
    if (exitStatus === undefined) return;
    await drain(container);
    // On a busy machine its last words are read after its end.
    if (!isReady) throw ended(workload, exitStatus, output);
  } finally {
    stop();
    // Rejects when the container is killed, when nothing waits for it any more.
    exited.catch(() => {});
  }
}

function waitForLine(
  output: OutputLines,
  pattern: RegExp,
  occurrence: number,
): { promise: Promise<undefined>; stop: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let count = 0;
  const stop = output.onLine((line) => {
    if (pattern.test(line) && ++count === occurrence) resolve(undefined);
  });
  return { promise, stop };
}

async function drain({ drained }: StartedContainer): Promise<void> {
  const limit = Promise.withResolvers<void>();
  const timer = setTimeout(limit.resolve, drainLimitMs);
  await Promise.race([drained, limit.promise]);
  clearTimeout(timer);
}

function ended(workload: Workload, exitStatus: number, output: OutputLines): HarnessError {
  return new HarnessError(
    'not-ready',
    `${workload.name} ended with status ${exitStatus} before it was ready: ${said(output)}`,
  );
}

function said(output: OutputLines): string {
  return lastLines(output.tail('stderr') || output.tail('stdout')) || 'it printed nothing';
}
