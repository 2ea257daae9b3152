import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Mount } from '../../../snapshotter/api/types/types.ts';
import type { ListedEntry } from '../equality/tree.ts';

export interface ListRequest {
  readonly mount: Mount;
  readonly target: string;
  readonly skip: readonly string[];
}

export type ListReply = { readonly entries: readonly ListedEntry[] } | { readonly error: string };

const program = fileURLToPath(new URL('lister-process.ts', import.meta.url));
/** A walk of a handful of files that takes this long hangs. */
const listLimitMs = 30_000;

/** A process that mounts and lists; a hanging one is replaced. */
export class Lister {
  readonly #directory: string;
  #child: ChildProcess | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  /** Mount points are made below `directory`. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Calls wait for each other. Throws where mounting or reading fails, or takes too long. */
  list(mount: Mount, skip: readonly string[]): Promise<readonly ListedEntry[]> {
    const result = this.#turn.then(() => this.#list(mount, skip));
    this.#turn = result.catch(() => {});
    return result;
  }

  async #list(mount: Mount, skip: readonly string[]): Promise<readonly ListedEntry[]> {
    await mkdir(this.#directory, { recursive: true });
    const target = await mkdtemp(join(this.#directory, 'm'));
    this.#child ??= fork(program, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const child = this.#child;
    const timeout = new AbortController();
    const request: ListRequest = { mount, target, skip };
    child.send(request);
    const lost = (error: string): ListReply => {
      this.close();
      return { error };
    };
    const reply = await Promise.race([
      once(child, 'message', { signal: timeout.signal }).then(([message]) => message as ListReply),
      once(child, 'exit', { signal: timeout.signal }).then(() => lost('the lister ended')),
      sleep(listLimitMs, undefined, { signal: timeout.signal }).then(() => lost(`no answer within ${listLimitMs} ms`)),
    ]).finally(() => timeout.abort());
    if ('error' in reply) throw new Error(reply.error);
    return reply.entries;
  }

  close(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }
}
