import { setTimeout as sleep } from 'node:timers/promises';
import { type Conversion, type Failure, judgeStack, kindOf, type Verdict } from './judge.ts';
import { openRig, type Rig, type RigOptions } from './rig.ts';
import { type CaseId, reduceStack, shrinkCase, stackOf } from './shrink.ts';
import { formatStack, type Stack } from './stack.ts';

export interface RunOptions extends RigOptions {
  readonly seed: number;
  /** Cases [first, first + count) of the seed. */
  readonly first: number;
  readonly count: number;
  readonly formats: readonly Conversion[];
  /** Stacks judged at a time. */
  readonly jobs: number;
}

export interface JudgedCase {
  readonly id: CaseId;
  readonly stack: Stack;
  readonly verdict: Verdict;
  readonly durationMs: number;
}

/** A failure, and the smallest stack found that fails so. */
export interface Find {
  readonly id: CaseId;
  readonly failure: Failure;
  readonly stack: Stack;
}

export interface RunObserver {
  judged(result: JudgedCase): Promise<void> | void;
  found(find: Find): Promise<void> | void;
}

/** Servers that have seen more stacks than this are replaced: their stores grow, and every mount makes the next one dearer. */
const casesPerRig = 150;
/** One bug shows in every format and on every face, and several bugs may show as the same difference. */
const maxFindsOfASort = 3;
const caseLimitMs = 120_000;

/** Judges the cases, several at a time; the first failures of each sort are shrunk. */
export async function runCases(options: RunOptions, observer: RunObserver, signal: AbortSignal): Promise<void> {
  const known = new Map<string, number>();
  const reported = new Set<string>();
  const end = options.first + options.count;
  for (let first = options.first; first < end; first += casesPerRig) {
    await using rig = await openRig(options, signal);
    const count = Math.min(casesPerRig, end - first);
    const news = await runOnRig(rig, { ...options, first, count }, known, observer, signal);
    for (const { id, failure } of news) {
      const kind = kindOf(failure);
      const stack = await shrinkCase(id, (candidate) => failsAs(rig, candidate, kind, options.formats, signal));
      const text = `${failure.what} ${formatStack(stack)}`;
      if (!reported.has(text)) await observer.found({ id, failure, stack });
      reported.add(text);
    }
  }
}

/** A stack from a file, judged; and made smaller where it fails. */
export async function runStack(
  options: Omit<RunOptions, 'seed' | 'first' | 'count' | 'jobs'>,
  stack: Stack,
  signal: AbortSignal,
): Promise<{ readonly verdict: Verdict; readonly least: Stack }> {
  await using rig = await openRig(options, signal);
  const verdict = await judgeWithin(rig, stack, options.formats, signal);
  const [failure] = verdict.failures;
  if (failure === undefined) return { verdict, least: stack };
  const kind = kindOf(failure);
  const least = await reduceStack(stack, (candidate) => failsAs(rig, candidate, kind, options.formats, signal));
  return { verdict, least };
}

async function runOnRig(
  rig: Rig,
  { seed, first, count, jobs, formats }: RunOptions,
  known: Map<string, number>,
  observer: RunObserver,
  signal: AbortSignal,
): Promise<Omit<Find, 'stack'>[]> {
  const news: Omit<Find, 'stack'>[] = [];
  let next = first;
  const work = async (): Promise<void> => {
    while (next < first + count) {
      signal.throwIfAborted();
      const id = { seed, index: next++ };
      const stack = stackOf(id);
      const startedMs = performance.now();
      const verdict = await judgeWithin(rig, stack, formats, signal);
      await observer.judged({ id, stack, verdict, durationMs: performance.now() - startedMs });
      const sorts = new Map(
        verdict.failures.map((failure) => [failure.what, failure]).toReversed() as [string, Failure][],
      );
      for (const [what, failure] of sorts) {
        const times = known.get(what) ?? 0;
        known.set(what, times + 1);
        if (times < maxFindsOfASort) news.push({ id, failure });
      }
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return news;
}

async function failsAs(
  rig: Rig,
  stack: Stack,
  kind: string,
  formats: readonly Conversion[],
  signal: AbortSignal,
): Promise<boolean> {
  const concerned = formats.filter((format) => kind.startsWith(`${format} `));
  const { failures } = await judgeWithin(rig, stack, concerned, signal);
  return failures.some((failure) => kindOf(failure) === kind);
}

/** What takes longer counts as a failure of its own. */
async function judgeWithin(
  rig: Rig,
  stack: Stack,
  formats: readonly Conversion[],
  signal: AbortSignal,
): Promise<Verdict> {
  const limit = new AbortController();
  const ended = AbortSignal.any([signal, limit.signal]);
  const late = sleep(caseLimitMs, undefined, { signal: ended, ref: false }).then(
    () => limit.abort(new Error(`the stack was not judged within ${caseLimitMs / 1000} s`)),
    () => {},
  );
  try {
    return await judgeStack(rig, stack, formats, ended);
  } finally {
    limit.abort();
    await late;
  }
}
