import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work cut into steps of a millisecond or so each, where it may be interrupted; the result is what it returns. */
export type Steps<Result> = Generator<unknown, Result, void>;

/** How long reads of running containers may wait for it. */
const sliceMs = 5;

/** All steps, with a turn of the event loop left to others whenever a slice of time is used up. */
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
