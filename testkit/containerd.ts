import { chmodSync, mkdirSync } from 'node:fs';
import { execa } from 'execa';
import { Containerd, type ContainerdOptions } from '../harness/containerd/containerd.ts';
import type { Lifetime } from './lifetime.ts';
import { logPathOf, ownProcess, type TestProcess } from './process.ts';

const startLimitMs = 60_000;
const commandLimitMs = 60_000;

export interface TestContainerd extends TestProcess {
  readonly containerd: Containerd;
  /** Runs `ctr` or `ctr-remote` on it; resolves with its standard output, rejects with its standard error. */
  command(program: 'ctr' | 'ctr-remote', args: readonly string[]): Promise<string>;
}

/** Starts a private containerd below `directory`. It uses overlayfs unless `options` name a snapshotter. */
export async function startContainerd(
  lifetime: Lifetime,
  directory: string,
  options: Omit<Partial<ContainerdOptions>, 'directory' | 'logPath'> = {},
): Promise<TestContainerd> {
  mkdirSync(directory, { recursive: true });
  // Containers may run as other users, which must be able to traverse it.
  chmodSync(directory, 0o711);
  const logPath = logPathOf(directory, 'containerd.log');
  const containerd = await Containerd.start(
    { snapshotter: 'overlayfs', ...options, directory, logPath },
    AbortSignal.timeout(startLimitMs),
  );
  const { address, pid } = containerd;
  const stop = (signal?: NodeJS.Signals) => containerd.stop(undefined, signal);
  return {
    ...ownProcess(lifetime, { address, pid, logPath, stop }),
    containerd,
    async command(program, args) {
      const { stdout } = await execa(program, ['--address', address, ...args], { timeout: commandLimitMs });
      return stdout;
    },
  };
}
