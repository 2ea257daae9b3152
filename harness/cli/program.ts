import { type ExitCode, reportFailure } from './failure.ts';
import { watchInterrupts } from './interrupt.ts';

/** A benchmark beside `bench`, as an npm script. */
export interface Program {
  /** Of the npm script. */
  readonly name: string;
  /** Printed for --help. */
  readonly usage: string;
  /** True: what was measured is within its limits. */
  run(argv: readonly string[], signal: AbortSignal): Promise<boolean>;
}

/** Runs it as this process: sets the exit code, never rejects. */
export async function runProgram({ name, usage, run }: Program): Promise<void> {
  // A reader that goes away (a closed terminal, `| head`) must not end the run before it has cleaned up.
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
    const within = await run(argv, signal);
    exitCode = signal.aborted ? 130 : within ? 0 : 1;
  } catch (error) {
    exitCode = reportFailure(name, error, { stderr: process.stderr, env: process.env, signal });
  }
  process.exitCode = exitCode;
  interrupts.stop();
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
