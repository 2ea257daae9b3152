import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type DaemonOptions, startDaemon as start } from '../harness/daemon/daemon.ts';
import type { StatusDocument } from '../snapshotter/api/status.ts';
import type { Lifetime } from './lifetime.ts';
import { logPathOf, ownProcess, type TestProcess } from './process.ts';

const startLimitMs = 60_000;

export interface TestDaemon extends TestProcess {
  /** Its status document; throws if another process wrote the last one. */
  status(): StatusDocument;
}

/** The daemon as a user starts it, at log level debug, on `stargz.sock` and `root` in the directory unless told otherwise. */
export async function startDaemon(
  lifetime: Lifetime,
  directory: string,
  options: Omit<DaemonOptions, 'directory' | 'logPath'> = {},
): Promise<TestDaemon> {
  mkdirSync(directory, { recursive: true });
  const daemon = await start(
    {
      directory,
      address: join(directory, 'stargz.sock'),
      logPath: logPathOf(directory, 'daemon.log'),
      logLevel: 'debug',
      ...options,
    },
    AbortSignal.timeout(startLimitMs),
  );
  return { ...ownProcess(lifetime, daemon), status: daemon.status };
}
