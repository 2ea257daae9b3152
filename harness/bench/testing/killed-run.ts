/**
 * The bench command with hundreds of cells that end at once, for a test that kills it among them. Says when the tenth ends.
 *
 *     node harness/bench/testing/killed-run.ts OUT-DIR
 */
import { runCommand } from '../command.ts';
import { fakeDependencies, quickCell } from './fake-dependencies.ts';

const [outDir = ''] = process.argv.slice(2);
const output = { write: (text: string) => void process.stderr.write(text), columns: 80, isTTY: false };
let count = 0;
const dependencies = fakeDependencies(async (cell, onPhase, signal) => {
  if (++count === 10) console.log('tenth cell');
  return await quickCell(cell, onPhase, signal);
});
const argv = ['--samples', '200', '--out', outDir, '--state-dir', `${outDir}/state`];
const signal = new AbortController().signal;
const around = { stdout: output, stderr: output, env: {}, signal, now: () => performance.now() };
process.exitCode = await runCommand(argv, dependencies, around);
