import { type Random, randomBelow, seededRandom } from '../../../measurements/stats/random.ts';
import type { FuzzTarget } from '../../../testkit/fuzz-target.ts';
import { startCoverage } from './coverage.ts';
import { mutate } from './mutate.ts';

export interface FuzzOptions {
  readonly target: FuzzTarget;
  readonly seed: number;
  readonly durationMs: number;
  readonly nowMs: () => number;
  /** Called before each execution, so that an input that crashes the worker is known. */
  begin(input: Uint8Array): void;
  find(input: Uint8Array, error: unknown): void;
}

export interface FuzzCounts {
  readonly executions: number;
  readonly finds: number;
  /** Inputs kept because they reached new coverage, including the seeds. */
  readonly corpus: number;
  /** Distinct coverage features seen. */
  readonly features: number;
}

/** Coverage is read once per batch, because it is slow; if it is new, each input of the batch is run again by itself. */
const batchSize = 32;
const maxCorpus = 4000;
const maxFinds = 20;

/** Runs mutations of the seeds and of inputs that reached new coverage, for `durationMs`. */
export function fuzz(options: FuzzOptions): FuzzCounts {
  const { target, durationMs, nowMs } = options;
  const random = seededRandom(options.seed);
  using coverage = startCoverage();
  const corpus: Buffer[] = [];
  const found = new Set<string>();
  let executions = 0;

  const execute = (input: Buffer): void => {
    executions++;
    options.begin(input);
    try {
      target.run(Buffer.from(input));
    } catch (error) {
      // One find per location, because the same defect is hit thousands of times.
      const place = placeOf(error);
      if (found.has(place)) return;
      found.add(place);
      options.find(input, error);
    }
  };

  for (const seed of [...target.seeds, new Uint8Array(0)]) {
    const input = Buffer.from(seed);
    execute(input);
    coverage.isNew(true);
    corpus.push(input);
  }
  const endMs = nowMs() + durationMs;
  while (nowMs() < endMs && found.size < maxFinds) {
    const batch = Array.from({ length: batchSize }, () => nextInput(target, corpus, random));
    for (const input of batch) execute(input);
    if (!coverage.isNew(false)) continue;
    for (const input of batch) {
      execute(input);
      if (!coverage.isNew(true)) continue;
      if (corpus.length < maxCorpus) corpus.push(input);
      else corpus[randomBelow(maxCorpus, random)] = input;
    }
  }
  return { executions, finds: found.size, corpus: corpus.length, features: coverage.seen };
}

function nextInput(target: FuzzTarget, corpus: readonly Buffer[], random: Random): Buffer {
  const pick = (): Buffer => corpus[randomBelow(corpus.length, random)]!;
  const input = mutate(pick(), pick(), target.dictionary ?? [], random);
  return target.repair === undefined || randomBelow(8, random) === 0 ? input : target.repair(input);
}

function placeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const frames = (error.stack ?? '').split('\n').filter((line) => line.includes('/snapshotter/'));
  return `${error.name} ${frames.slice(0, 2).join()}`;
}
