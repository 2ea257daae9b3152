import type { Case } from './cases.ts';
import { makeFixture } from './fixture.ts';
import { runCase, type Verdict } from './run-case.ts';

/** Cases mostly wait for slow registries. */
const lanes = 8;

/** Runs the cases concurrently; `onVerdict` is called for each. An unhandled rejection counts as a complaint. */
export async function runCases(
  cases: readonly Case[],
  signal: AbortSignal,
  onVerdict: (verdict: Verdict, one: Case) => Promise<void> | void,
): Promise<void> {
  const fixture = await makeFixture(signal);
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  try {
    const waiting = cases[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (const one of waiting) {
        signal.throwIfAborted();
        const verdict = await runCase(fixture, one, signal);
        const late = unhandled.splice(0).map((reason) => `unhandled while it ran: ${String(reason)}`);
        await onVerdict({ ...verdict, complaints: [...verdict.complaints, ...late] }, one);
      }
    };
    await Promise.all(Array.from({ length: lanes }, work));
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
}
