import { Bench } from 'tinybench';
import type { BenchFile, Teardown } from './discover.ts';

export interface MicroResult {
  readonly file: string;
  readonly task: string;
  readonly sampleCount: number;
  readonly medianUs: number | undefined;
  readonly p99Us: number | undefined;
  /** Relative margin of error of the mean, in percent. */
  readonly marginPercent: number | undefined;
  readonly perSecond: number | undefined;
  readonly error: string | undefined;
}

export interface MicroOptions {
  readonly timeMs: number;
  /** Only tasks whose name contains this. */
  readonly filter: string | undefined;
}

/** Runs the tasks of one file, each for about `timeMs`. A task that throws yields a result with `error`. */
export async function measureFile(file: BenchFile, options: MicroOptions, signal: AbortSignal): Promise<MicroResult[]> {
  const bench = new Bench({ name: file.path, time: options.timeMs, warmupTime: options.timeMs / 4, signal });
  const teardown = await file.register(bench);
  try {
    const { filter } = options;
    for (const task of bench.tasks) if (filter !== undefined && !task.name.includes(filter)) bench.remove(task.name);
    await bench.run();
    return bench.tasks.map((task) => readResult(file.path, task));
  } finally {
    if (typeof teardown === 'function') await (teardown as Teardown)();
  }
}

function readResult(file: string, { name, result }: Bench['tasks'][number]): MicroResult {
  const empty = { medianUs: undefined, p99Us: undefined, marginPercent: undefined, perSecond: undefined };
  const { state } = result;
  if (state === 'errored') return { file, task: name, sampleCount: 0, ...empty, error: result.error.message };
  if (state !== 'completed') return { file, task: name, sampleCount: 0, ...empty, error: state };
  const { latency } = result;
  return {
    file,
    task: name,
    sampleCount: latency.samplesCount,
    medianUs: latency.p50 * 1000,
    p99Us: latency.p99 * 1000,
    marginPercent: latency.rme,
    perSecond: 1000 / latency.p50,
    error: undefined,
  };
}
