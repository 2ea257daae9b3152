import { type ExitCode, reportFailure } from './failure.ts';
import { watchInterrupts } from './interrupt.ts';

/** A program other than `bench`: an npm script of its own. */
export interface Program {
  /** The npm script. */
  readonly name: string;
  /** Printed for --help. */
  readonly usage: string;
  /** Resolves to true if all limits were met. */
  run(argv: readonly string[], signal: AbortSignal): Promise<boolean>;
}

/** Runs the program as this process. Sets the exit code, never rejects. */
export async function runProgram({ name, usage, run }: Program): Promise<void> {
  // EPIPE from a closed terminal or `| head` must not end the run before it has cleaned up.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const argv = process.argv.slice(2);
  if (argv.includes('--help') || argv.includes('-h')) {
    say(usage);
    return;
  }
  const interrupts = watchInterrupts();
  const { signal } = interrupts;
  let exitCode: ExitCode;
  try {
    const isMet = await run(argv, signal);
    exitCode = signal.aborted ? 130 : isMet ? 0 : 1;
  } catch (error) {
    exitCode = reportFailure(name, error, { stderr: process.stderr, env: process.env, signal });
  }
  process.exitCode = exitCode;
  interrupts.stop();
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
