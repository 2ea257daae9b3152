import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../cli.ts', import.meta.url));

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Circumstances {
  readonly interruptOn?: Promise<unknown>;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs the convert command until it exits. */
export function run(args: readonly string[], circumstances?: Circumstances): Promise<Outcome> {
  return runProgram(cli, args, circumstances);
}

/** Runs a program until it exits; sends SIGINT once `interruptOn` resolves. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { interruptOn, env }: Circumstances = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  void interruptOn?.then(() => child.kill('SIGINT'));
  const closed = once(child, 'close') as Promise<[number | null]>;
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = await closed;
  return { status, stdout, stderr };
}
