/**
 * The bench command with cells that end at once but for the third, which waits to be interrupted and then takes half a second
 * to clean up. Says when both happen.
 *
 *     node harness/bench/testing/interrupted-run.ts OUT-DIR
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { watchInterrupts } from '../../cli/interrupt.ts';
import { runCommand } from '../command.ts';
import { fakeDependencies, quickCell } from './fake-dependencies.ts';

const [outDir = ''] = process.argv.slice(2);
const interrupts = watchInterrupts();
const output = { write: (text: string) => void process.stderr.write(text), columns: 80, isTTY: false };
let count = 0;
const dependencies = fakeDependencies(async (cell, onPhase, signal) => {
  if (++count === 3) {
    console.log('third cell');
    await sleep(60_000, undefined, { signal }).catch(() => {});
    await sleep(500);
    console.log('cleaned up');
    signal.throwIfAborted();
  }
  return await quickCell(cell, onPhase, signal);
});
const argv = ['--out', outDir, '--state-dir', `${outDir}/state`];
const around = { stdout: output, stderr: output, env: {}, signal: interrupts.signal, now: () => performance.now() };
process.exitCode = await runCommand(argv, dependencies, around);
interrupts.stop();
