import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { FuzzCounts } from './engine.ts';
import { type FuzzWorkerData, inputHeaderBytes, type MessageFromFuzzer } from './message.ts';
import { maxInputBytes } from './mutate.ts';

export interface Find {
  readonly input: Uint8Array;
  /** The thrown error, or a description of a hang or of exhausted memory. */
  readonly error: string;
}

export interface TargetRun {
  readonly counts: FuzzCounts;
  readonly finds: readonly Find[];
}

/** Executions take microseconds; one that exceeds this is a hang. */
export const executionLimitMs = 10_000;
const heapLimitMib = 512;
const lookMs = 500;

/** Fuzzes the named target in a worker for `durationMs`; continues with the next seed after a crash or a hang. */
export async function runTarget(
  request: { readonly name: string; readonly seed: number; readonly durationMs: number },
  signal: AbortSignal,
): Promise<TargetRun> {
  const endMs = performance.now() + request.durationMs;
  const finds: Find[] = [];
  let counts: FuzzCounts = { executions: 0, finds: 0, corpus: 0, features: 0 };
  for (let attempt = 0; attempt < 10 && (attempt === 0 || performance.now() < endMs); attempt++) {
    signal.throwIfAborted();
    const durationMs = Math.max(0, endMs - performance.now());
    const ended = await runWorker({ name: request.name, seed: request.seed + attempt, durationMs }, signal);
    finds.push(...ended.finds);
    counts = {
      executions: counts.executions + ended.counts.executions,
      finds: finds.length,
      corpus: Math.max(counts.corpus, ended.counts.corpus),
      features: Math.max(counts.features, ended.counts.features),
    };
    if (ended.isDone) break;
  }
  return { counts, finds };
}

async function runWorker(
  request: Omit<FuzzWorkerData, 'shared'>,
  signal: AbortSignal,
): Promise<TargetRun & { readonly isDone: boolean }> {
  const shared = new SharedArrayBuffer(inputHeaderBytes + maxInputBytes);
  const state = new Int32Array(shared, 0, 2);
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: { ...request, shared } satisfies FuzzWorkerData,
    resourceLimits: { maxOldGenerationSizeMb: heapLimitMib },
  });
  const finds: Find[] = [];
  let counts: FuzzCounts | undefined;
  let failure: unknown;
  const current = (): Uint8Array => new Uint8Array(shared, inputHeaderBytes, state[1]).slice();
  worker.on('message', (message: MessageFromFuzzer) => {
    if (message.kind === 'find') finds.push(message);
    else counts = message.counts;
  });
  worker.on('error', (error) => (failure = error));
  const exited = new Promise<'exited'>((resolve) => worker.once('exit', () => resolve('exited')));
  const stop = (): void => void worker.terminate();
  signal.addEventListener('abort', stop, { once: true });
  try {
    for (let last = -1, sinceMs = performance.now(); ; ) {
      if ((await Promise.race([exited, delay(lookMs)])) === 'exited') break;
      const now = Atomics.load(state, 0);
      if (now !== last) sinceMs = performance.now();
      else if (now > 0 && performance.now() - sinceMs > executionLimitMs) {
        finds.push({ input: current(), error: `it did not end within ${executionLimitMs} ms` });
        await worker.terminate();
      }
      last = now;
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  if (failure !== undefined) {
    if (Atomics.load(state, 0) === 0) throw failure;
    finds.push({ input: current(), error: String(failure) });
  }
  const executions = Atomics.load(state, 0);
  return {
    isDone: counts !== undefined,
    counts: counts ?? { executions, finds: finds.length, corpus: 0, features: 0 },
    finds,
  };
}
