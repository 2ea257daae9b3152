import { reportFailure } from './cli/failure.ts';
import { watchInterrupts } from './cli/interrupt.ts';
import type { ProgressOutput } from './progress/progress.ts';

// EPIPE from a closed terminal or `| head` must not end the run before it has cleaned up.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const interrupts = watchInterrupts();
const { signal } = interrupts;
try {
  // Loads the workloads, whose mistakes are the user's to read, in one line.
  const { realDependencies } = await import('./assembly/dependencies.ts');
  const { runCommand } = await import('./bench/command.ts');
  process.exitCode = await runCommand(process.argv.slice(2), realDependencies, {
    stdout: outputOf(process.stdout),
    stderr: outputOf(process.stderr),
    env: process.env,
    signal,
    now: () => performance.now(),
  });
} catch (error) {
  process.exitCode = reportFailure('stargz-bench', error, { stderr: process.stderr, env: process.env, signal });
}
interrupts.stop();

function outputOf(stream: NodeJS.WriteStream): ProgressOutput {
  return {
    write: (text) => void stream.write(text),
    get columns() {
      return stream.columns ?? 80;
    },
    isTTY: stream.isTTY === true,
  };
}
