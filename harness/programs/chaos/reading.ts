import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { HarnessError } from '../../cli/error.ts';
import { maxReadMs, type ReadTally } from './tally.ts';

/** `window`: from now on zeros and errors are expected; answered with the same. `end`: answered with a ReadTally. */
export type ToReader = 'window' | 'end';

export interface Reading {
  /** From now on zeros and errors are counted apart. */
  enterWindow(): Promise<void>;
  /** Lets the reads under way end; rejects if one does not. */
  end(): Promise<ReadTally>;
  kill(): void;
}

const program = fileURLToPath(new URL('reader-process.ts', import.meta.url));

/** Starts a process that reads the image's files below `root`. */
export function startReading(root: string, image: number, seed: number): Reading {
  const child = fork(program, [root, String(image), String(seed)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // From what is installed, not from what the program was started with.
    execArgv: [],
  });
  const ask = async (message: ToReader): Promise<unknown> => {
    const answer = Promise.withResolvers<unknown>();
    const limit = AbortSignal.timeout(maxReadMs);
    child.send(message);
    once(child, 'message', { signal: limit }).then(([value]) => answer.resolve(value), answer.reject);
    once(child, 'exit', { signal: limit }).then(() => answer.reject(new Error('it ended by itself')), answer.reject);
    return await answer.promise.catch((cause) => {
      child.kill('SIGKILL');
      throw new HarnessError('timeout', `a reader of ${root} does not answer to "${message}"`, { cause });
    });
  };
  return {
    enterWindow: async () => void (await ask('window')),
    end: async () => (await ask('end')) as ReadTally,
    kill: () => void child.kill('SIGKILL'),
  };
}
