import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { runProgram, say } from '../../cli/program.ts';
import { UsageError } from '../../cli/quantity.ts';
import { type NpmRun, steps } from './steps.ts';

const names = Object.keys(steps).join(', ');
const usage = `usage: npm run actions -- STEP

A step of the workflows in .github/ and of action.yml; its inputs are variables of the environment. Steps: ${names}`;
const checkout = fileURLToPath(new URL('../../..', import.meta.url));

await runProgram({ name: 'actions', usage, run });

async function run([name, ...more]: readonly string[], signal: AbortSignal): Promise<boolean> {
  const step = name !== undefined && more.length === 0 && Object.hasOwn(steps, name) ? steps[name] : undefined;
  if (step === undefined) throw new UsageError(`actions takes one step: ${names}`);
  return await step({ env: process.env, checkout, signal, npm: (request) => npm(request, signal), say });
}

/** Its output is the step's log. */
async function npm({ script, args, asRoot = false }: NpmRun, signal: AbortSignal): Promise<boolean> {
  const command = ['npm', 'run', '--silent', script, '--', ...args];
  // sudo has a PATH of its own, without the runner's npm.
  const needsSudo = asRoot && process.getuid?.() !== 0;
  const sudo = ['sudo', '--preserve-env=CI,DOCKER_CONFIG', 'env', `PATH=${process.env.PATH}`];
  const [file, ...rest] = (needsSudo ? [...sudo, ...command] : command) as [string, ...string[]];
  const { failed } = await execa(file, rest, { cwd: checkout, stdio: 'inherit', cancelSignal: signal, reject: false });
  signal.throwIfAborted();
  return !failed;
}
