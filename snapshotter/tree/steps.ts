import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work in steps of about a millisecond, between which it may be suspended. */
export type Steps<Result> = Generator<unknown, Result, void>;

/** Reads of running containers wait this long at most. */
const sliceMs = 5;

/** Runs all steps; yields to the event loop after each time slice. */
export async function takeTurns<Result>(steps: Steps<Result>): Promise<Result> {
  for (let sliceEndMs = performance.now() + sliceMs; ; ) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() < sliceEndMs) continue;
    await nextTurn();
    sliceEndMs = performance.now() + sliceMs;
  }
}

export function takeAtOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
