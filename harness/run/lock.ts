import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { HarnessError } from '../cli/error.ts';

/**
 * Excludes a second run on the same state directory. The lock is an abstract unix socket (unix(7)), which the kernel releases
 * however the process ends, so a lock is never stale.
 */
export async function lockStateDir(stateDir: string): Promise<{ release(): Promise<void> }> {
  const name = createHash('sha256').update(resolve(stateDir)).digest('hex').slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  server.listen(`\0stargz-bench-${name}`);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new HarnessError('busy', `another run is using ${stateDir}`, {
      remedy: 'wait for it to end, or give this one its own --state-dir',
      cause,
    });
  }
  server.unref();
  return { release: () => new Promise((done) => server.close(() => done())) };
}
