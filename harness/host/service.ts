import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HarnessError, lastLines } from '../cli/error.ts';
import { type ProcessCost, readCost, sendSignal } from './processes.ts';

export interface ServiceOptions {
  /** For error messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Standard output and error are appended to this file. */
  readonly logPath: string;
}

/** An exit code, or the signal that ended the process. */
export type ProcessEnd = number | NodeJS.Signals;

/** A long-running program that this process started and must end. */
export class Service {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logPath: string;

  private constructor(options: ServiceOptions, child: ChildProcess) {
    this.name = options.name;
    this.#child = child;
    this.#logPath = options.logPath;
  }

  static async start(options: ServiceOptions): Promise<Service> {
    const log = await open(options.logPath, 'a');
    try {
      const child = spawn(options.command, options.args, {
        stdio: ['ignore', log.fd, log.fd],
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        env: options.env ?? process.env,
        // A process group of its own: Ctrl-C at the terminal must reach it only through stop().
        detached: true,
      });
      try {
        await once(child, 'spawn');
      } catch (cause) {
        throw new HarnessError('start', `cannot start ${options.name} (${options.command})`, { cause });
      }
      // A running service does not keep this process alive; whoever waits for it holds a timer or a socket.
      child.unref();
      return new Service(options, child);
    } finally {
      await log.close();
    }
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  cost(): Promise<ProcessCost | undefined> {
    return readCost(this.pid);
  }

  async logTail(lines = 3): Promise<string> {
    return lastLines(await readFile(this.#logPath, 'utf8').catch(() => ''), lines);
  }

  async explainEnd(): Promise<string | undefined> {
    return this.isRunning ? undefined : `${this.name} has ended: ${await this.logTail()}`;
  }

  /** Calls `probe` until it succeeds. Fails as soon as the program ends, or at the limit with the probe's last error. */
  async waitUntil(probe: () => Promise<unknown>, limitMs: number, signal: AbortSignal): Promise<void> {
    const until = performance.now() + limitMs;
    for (;;) {
      signal.throwIfAborted();
      const failure = await probe().then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      if (failure === undefined) return;
      if (!this.isRunning) {
        throw new HarnessError('start', `${this.name} ended while starting: ${await this.logTail()}`, {
          cause: failure.error,
        });
      }
      if (performance.now() > until) {
        const said = (await this.logTail()) || 'its log is empty';
        throw new HarnessError('timeout', `${this.name} did not answer within ${limitMs / 1000} s: ${said}`, {
          remedy: `see ${this.#logPath}`,
          cause: failure.error,
        });
      }
      await sleep(20);
    }
  }

  /** Sends `signal`, after `graceMs` SIGKILL, and waits for the end; then kills what is left of its process group. */
  async stop(graceMs = 5_000, signal: NodeJS.Signals = 'SIGTERM'): Promise<ProcessEnd> {
    if (this.isRunning) {
      const exited = once(this.#child, 'exit');
      this.#child.ref();
      sendSignal(this.pid, signal);
      const timer = setTimeout(() => sendSignal(this.pid, 'SIGKILL'), graceMs);
      await exited;
      clearTimeout(timer);
    }
    sendSignal(-this.pid, 'SIGKILL');
    return (this.#child.exitCode ?? this.#child.signalCode)!;
  }
}
