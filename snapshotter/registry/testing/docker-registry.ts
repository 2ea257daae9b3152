import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface TestRegistry {
  /** `127.0.0.1:port`, plain HTTP. */
  readonly host: string;
  close(): Promise<void>;
}

const binary = '/usr/bin/docker-registry';
const startLimitMs = 15_000;

/** Debian's docker-registry on a free port of loopback, its storage in a temporary directory. */
export async function startDockerRegistry(): Promise<TestRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'registry-'));
  const config = join(directory, 'config.json');
  // JSON is YAML. The port is the kernel's choice; the log says which.
  await writeFile(
    config,
    JSON.stringify({
      version: '0.1',
      log: { level: 'info', formatter: 'text', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
      http: { addr: '127.0.0.1:0' },
    }),
  );
  const child = spawn(binary, ['serve', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH ?? '', OTEL_TRACES_EXPORTER: 'none' },
  });
  const exited = once(child, 'exit').catch(() => {});
  const killChild = (): void => void child.kill('SIGKILL');
  process.once('exit', killChild);
  const close = async (): Promise<void> => {
    process.off('exit', killChild);
    killChild();
    await exited;
    await rm(directory, { recursive: true, force: true });
  };

  try {
    return { host: await readAddress(child.stderr), close };
  } catch (error) {
    await close();
    throw new Error(`${binary} did not start; install it with: apt-get install docker-registry`, { cause: error });
  }
}

/** The log goes on for as long as the process lives: it is read to keep its pipe from filling up. */
function readAddress(log: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no address within ${startLimitMs} ms`)), startLimitMs);
    const lines = createInterface({ input: log });
    lines.on('line', (line) => {
      const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
      if (address === undefined) return;
      clearTimeout(timer);
      resolve(address);
    });
    lines.once('close', () => {
      clearTimeout(timer);
      reject(new Error('it ended'));
    });
  });
}
