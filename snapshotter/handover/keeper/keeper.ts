import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type FromKeeper, socketName, type ToKeeper } from './message.ts';
import { copyDescriptor } from './pidfd.ts';

export interface HeldDescriptors {
  readonly fuseFd?: number | undefined;
  readonly groupFd?: number | undefined;
}

const startLimitMs = 10_000;
/** A keeper answers at once, unless it is stopped. */
const answerLimitMs = 5000;
const nodeOptions = ['--max-old-space-size=32', '--max-semi-space-size=1', '--v8-pool-size=1'];

/** The daemon's connection to its keeper (process.ts). */
export class Keeper {
  readonly pid: number;
  readonly #socket: Socket;

  constructor(pid: number, socket: Socket) {
    this.pid = pid;
    this.#socket = socket;
    socket.on('error', () => {});
    socket.unref();
  }

  /** Resolves when the keeper is gone; a reset, by one that was killed with messages unread, is no failure. */
  get gone(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.closed) resolve();
      else this.#socket.once('close', () => resolve());
    });
  }

  /** Nothing is mounted any more: the keeper exits. Gives up after a limit on one that does not answer. */
  async dismiss(): Promise<void> {
    const gone = this.gone;
    this.#socket.ref();
    this.#tell({ kind: 'dismiss' });
    await Promise.race([gone, delay(answerLimitMs, undefined, { ref: false })]);
    this.#socket.destroy();
  }

  /**
   * Without a daemon, it stays as long as one of these EROFS superblocks exists. Call this before a mount is handed
   * out.
   */
  guard(superblocks: readonly string[]): void {
    this.#tell({ kind: 'superblocks', names: superblocks });
  }

  /** Adds to them. */
  guardMore(superblocks: readonly string[]): void {
    if (superblocks.length > 0) this.#tell({ kind: 'more-superblocks', names: superblocks });
  }

  #tell(message: ToKeeper): void {
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  /** Disconnects, as the daemon's death would: the keeper waits for the next one. */
  release(): void {
    this.#socket.destroy();
  }
}

/** Starts a keeper for these descriptors; `root` is the daemon's own directory. */
export async function startKeeper(root: string, held: HeldDescriptors, graceMs: number): Promise<Keeper> {
  const socketPath = join(root, socketName);
  const program = fileURLToPath(new URL('./process.ts', import.meta.url));
  // With 'ignore' the keeper's Node would use the free number for something of its own.
  const nothing = openSync('/dev/null', 'r');
  const child = spawn(process.execPath, [...nodeOptions, program, socketPath, String(graceMs)], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', held.fuseFd ?? nothing, held.groupFd ?? nothing],
  });
  closeSync(nothing);
  const exited = new AbortController();
  child.once('exit', () => exited.abort(new Error('the keeper process ended before it listened')));
  child.once('error', (error) => exited.abort(error));
  child.unref();
  const limit = AbortSignal.any([exited.signal, AbortSignal.timeout(startLimitMs)]);
  for (;;) {
    const found = await greet(root);
    if (found !== undefined && found.hello.pid === child.pid) return new Keeper(found.hello.pid, found.socket);
    found?.socket.destroy();
    limit.throwIfAborted();
    await delay(20);
  }
}

/**
 * The keeper that an earlier daemon left, and duplicates of its descriptors; undefined if there is none. Rejects if it
 * does not answer: what it guards cannot be taken over, and must not be mounted a second time.
 */
export async function findKeeper(root: string): Promise<{ keeper: Keeper; held: HeldDescriptors } | undefined> {
  const found = await greet(root);
  if (found === undefined) return undefined;
  const { pid, fuseFd, groupFd } = found.hello;
  return {
    keeper: new Keeper(pid, found.socket),
    held: {
      fuseFd: fuseFd === null ? undefined : copyDescriptor(pid, fuseFd),
      groupFd: groupFd === null ? undefined : copyDescriptor(pid, groupFd),
    },
  };
}

async function greet(root: string): Promise<{ hello: FromKeeper; socket: Socket } | undefined> {
  const path = join(root, socketName);
  const socket = connect(path);
  let isSilent = false;
  socket.setTimeout(answerLimitMs, () => {
    isSilent = true;
    socket.destroy();
  });
  try {
    let text = '';
    for await (const piece of socket.iterator({ destroyOnReturn: false })) {
      text += String(piece);
      if (!text.endsWith('\n')) continue;
      socket.setTimeout(0);
      return { hello: JSON.parse(text) as FromKeeper, socket };
    }
  } catch {
    // No listener.
  }
  socket.destroy();
  if (!isSilent) return undefined;
  throw new Error(
    `take over mounts: the process that listens on ${path} does not answer; continue it (kill -CONT) or end it, and start again`,
  );
}
