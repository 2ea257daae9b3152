import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openClient } from '../../api/client.ts';
import type { LogLevel } from '../../platform/log.ts';
import { readStatus, type StatusDocument } from '../../api/status.ts';

export interface TestProcess {
  /** The socket it serves on. */
  readonly address: string;
  readonly pid: number;
  /** What it wrote on standard error so far. */
  log(): string;
  /** Signals (SIGINT, which makes the daemon unmount) and waits; kills after ten seconds. The exit code, or the signal's name. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

const main = join(import.meta.dirname, '../../main.ts');

export interface TestDaemon extends TestProcess {
  /** Its status document; throws where another daemon wrote the last. */
  status(): StatusDocument;
}

/** The daemon as a user starts it, in `directory` (short: socket paths have 107 bytes). */
export async function startDaemon(
  directory: string,
  options: {
    config?: string;
    socket?: string;
    root?: string;
    logLevel?: LogLevel;
    env?: Record<string, string>;
    /** A command that becomes the daemon, whose own command follows. */
    launcher?: readonly string[];
  } = {},
): Promise<TestDaemon> {
  mkdirSync(directory, { recursive: true });
  const address = options.socket ?? join(directory, 'stargz.sock');
  const config = join(directory, 'config.toml');
  writeFileSync(config, options.config ?? '');
  const root = options.root ?? join(directory, 'root');
  const args = [
    main,
    '--address',
    address,
    '--root',
    root,
    '--config',
    config,
    '--log-level',
    options.logLevel ?? 'debug',
  ];
  const [file, ...command] = [...(options.launcher ?? []), process.execPath, ...args] as [string, ...string[]];
  const daemon = launch(file, command, directory, 'daemon.log', address, options.env);
  await waitUntil(daemon, async () => {
    const client = openClient('containerd.services.snapshots.v1.Snapshots', address);
    try {
      await client.cleanup({}, { timeoutMs: 2000 });
    } finally {
      client.close();
    }
  });
  return {
    ...daemon,
    status() {
      const status = readStatus(root);
      if (status?.pid === daemon.pid) return status;
      throw new Error(`status.json below ${root} is of process ${status?.pid}, not of ${daemon.pid}`);
    },
  };
}

/** Plugin tables to append, for example `[proxy_plugins.stargz]`. */
export interface ContainerdOptions {
  readonly binary?: string;
  readonly extraConfig?: string;
  readonly disabledPlugins?: readonly string[];
}

/** A containerd of its own: root, state, sockets and configuration below `directory`. */
export async function startContainerd(directory: string, options: ContainerdOptions = {}): Promise<TestProcess> {
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o711);
  const address = join(directory, 'containerd.sock');
  const disabled = [
    'io.containerd.internal.v1.opt',
    'io.containerd.tracing.processor.v1.otlp',
    ...(options.disabledPlugins ?? []),
  ];
  writeFileSync(
    join(directory, 'containerd.toml'),
    `version = 2
root = "${join(directory, 'root')}"
state = "${join(directory, 'state')}"
disabled_plugins = ${JSON.stringify(disabled)}
[grpc]
  address = "${address}"
[ttrpc]
  address = "${address}.ttrpc"
${options.extraConfig ?? ''}
`,
  );
  const args = ['--config', join(directory, 'containerd.toml')];
  const containerd = launch(options.binary ?? 'containerd', args, directory, 'containerd.log', address);
  await waitUntil(containerd, async () => {
    const client = openClient('containerd.services.version.v1.Version', address);
    try {
      await client.version({}, { timeoutMs: 2000 });
    } finally {
      client.close();
    }
  });
  return containerd;
}

function launch(
  file: string,
  args: readonly string[],
  directory: string,
  logName: string,
  address: string,
  env: Record<string, string> = {},
): TestProcess {
  const logPath = join(directory, logName);
  const child = spawn(file, args, {
    stdio: ['ignore', openSync(logPath, 'a'), openSync(logPath, 'a')],
    env: { ...process.env, ...env },
  });
  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  const log = () => (existsSync(logPath) ? readFileSync(logPath, 'utf8') : '');
  return {
    address,
    pid: child.pid ?? -1,
    log,
    async stop(signal = 'SIGINT') {
      if (isRunning(child)) child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      const result = await ended;
      clearTimeout(timer);
      return result;
    },
  };
  function isRunning(process: ChildProcess): boolean {
    return process.exitCode === null && process.signalCode === null;
  }
}

async function waitUntil(started: TestProcess, probe: () => Promise<void>): Promise<void> {
  const deadlineMs = Date.now() + 30_000;
  for (;;) {
    const error = await probe().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error === undefined) return;
    const alive = started.pid > 0 && existsSync(`/proc/${started.pid}`);
    if (!alive || Date.now() > deadlineMs) {
      await started.stop('SIGKILL');
      throw new Error(`did not come up: ${String(error)}\n${started.log().slice(-4000)}`);
    }
    await delay(50);
  }
}
