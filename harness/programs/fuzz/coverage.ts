import { Session } from 'node:inspector';

/** V8's block coverage, which needs no instrumentation and works on TypeScript as run. */
export interface Coverage extends Disposable {
  /** Whether code since the last call produced new coverage, which is recorded as seen if `noted`. */
  isNew(noted: boolean): boolean;
  /** Features seen so far. */
  readonly seen: number;
}

interface FunctionCoverage {
  readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
}

/** Counts in this thread, in files whose URL contains `/snapshotter/`. A call costs about 0.6 ms. */
export function startCoverage(): Coverage {
  const session = new Session();
  session.connect();
  const post = <Result>(method: string, parameters: object = {}): Result => {
    let result: unknown;
    session.post(method, parameters, (error, value) => {
      if (error !== null) throw error;
      result = value;
    });
    return result as Result;
  };
  post('Profiler.enable');
  post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });
  const seen = new Set<string>();

  return {
    get seen() {
      return seen.size;
    },
    isNew(noted) {
      const { result } = post<{ result: { scriptId: string; url: string; functions: FunctionCoverage[] }[] }>(
        'Profiler.takePreciseCoverage',
      );
      let isNew = false;
      for (const { scriptId, url, functions } of result) {
        if (!url.includes('/snapshotter/')) continue;
        // V8 reports an inner range where its count differs from the outer one's, so the ranges describe the path taken.
        for (const { ranges } of functions)
          for (const { startOffset, endOffset, count } of ranges) {
            const way = `${scriptId} ${startOffset} ${endOffset} ${count > 0}`;
            if (seen.has(way)) continue;
            isNew = true;
            if (noted) seen.add(way);
          }
      }
      return isNew;
    },
    [Symbol.dispose]() {
      session.disconnect();
    },
  };
}
