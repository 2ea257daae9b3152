import { runCommand } from './bench/command.ts';
import { watchInterrupts } from './cli/interrupt.ts';
import type { ProgressOutput } from './progress/progress.ts';
import { realDependencies } from './assembly/dependencies.ts';

// EPIPE from a closed terminal or `| head` must not end the run before it has cleaned up.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const interrupts = watchInterrupts();
process.exitCode = await runCommand(process.argv.slice(2), realDependencies, {
  stdout: outputOf(process.stdout),
  stderr: outputOf(process.stderr),
  env: process.env,
  signal: interrupts.signal,
  now: () => performance.now(),
});
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
