import { Interrupted } from './interrupt.ts';
import { UsageError } from './quantity.ts';

/** 0 success, 1 failure or a missed limit, 2 wrong usage, 130 interrupted. */
export type ExitCode = 0 | 1 | 2 | 130;

export interface FailureSurroundings {
  readonly stderr: { write(text: string): void };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Writes one line to stderr: what failed, on what, and the remedy if there is one. */
export function reportFailure(program: string, error: unknown, { stderr, signal, env }: FailureSurroundings): ExitCode {
  if (signal.aborted && (error === signal.reason || isAbort(error))) {
    stderr.write(`${program}: stopped by ${signalName(signal)}\n`);
    return 130;
  }
  if (error instanceof UsageError) {
    stderr.write(`${program}: ${error.message} (--help tells more)\n`);
    return 2;
  }
  const text = error instanceof Error ? error.message : String(error);
  stderr.write(`${program}: ${text.replace(/\s*\n\s*/g, ' ')}${remedyOf(error)}\n`);
  // A stack trace helps with a bug in this project, not with a failure of its environment.
  const isDefect = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
  if (error instanceof Error && (isDefect || env.STARGZ_BENCH_DEBUG)) stderr.write(`${error.stack}\n`);
  return signal.aborted ? 130 : 1;
}

export function signalName(signal: AbortSignal): string {
  return signal.reason instanceof Interrupted ? signal.reason.signalName : 'request';
}

/** Every error class of the project names it `remedy`. */
function remedyOf(error: unknown): string {
  const remedy = error instanceof Error && 'remedy' in error ? error.remedy : undefined;
  return typeof remedy === 'string' ? `; ${remedy}` : '';
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error instanceof Interrupted);
}
