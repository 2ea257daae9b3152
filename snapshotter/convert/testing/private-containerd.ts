import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const startLimitMs = 20_000;
const commandLimitMs = 60_000;

export interface PrivateContainerd {
  /** Runs `ctr` or `ctr-remote` on it; answers standard output, throws with standard error. */
  command(program: 'ctr' | 'ctr-remote', args: readonly string[]): Promise<string>;

  close(): Promise<void>;
}

/** A containerd of its own root, state and socket; content and the native snapshotter are all that is used of it. */
export async function startPrivateContainerd(): Promise<PrivateContainerd> {
  const top = await mkdtemp(join(tmpdir(), 'convert-containerd-'));
  const address = join(top, 'containerd.sock');
  const config = join(top, 'config.toml');
  await writeFile(
    config,
    `version = 2
root = "${top}/root"
state = "${top}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "${address}"
`,
  );
  const child = spawn('containerd', ['--config', config, '--log-level', 'error'], { stdio: 'ignore' });
  const exited = once(child, 'exit').catch(() => {});
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const close = async (): Promise<void> => {
    process.off('exit', kill);
    child.kill('SIGTERM');
    await Promise.race([exited, wait(5_000, undefined, { ref: false })]);
    kill();
    await exited;
    await rm(top, { recursive: true, force: true });
  };
  const command: PrivateContainerd['command'] = async (program, args) => {
    const { stdout } = await run(program, ['--address', address, ...args], {
      timeout: commandLimitMs,
      maxBuffer: 1 << 26,
    });
    return stdout;
  };
  const deadline = performance.now() + startLimitMs;
  for (;;) {
    try {
      await command('ctr', ['version']);
      return { command, close };
    } catch (error) {
      if (performance.now() < deadline && child.exitCode === null) {
        await wait(100);
        continue;
      }
      await close();
      throw new Error('containerd did not start; install it with: apt-get install containerd', { cause: error });
    }
  }
}
