import { mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { sendSignal } from '../harness/host/processes.ts';
import type { ProcessEnd } from '../harness/host/service.ts';
import { type Lifetime, undoAfter } from './lifetime.ts';

/** A server that a test started. */
export interface TestProcess {
  /** The socket or `host:port` that it serves. */
  readonly address: string;
  readonly pid: number;
  /** What it has written so far, with what an earlier process of this name in the same directory wrote. */
  log(): string;
  /** May be called more than once. Default: the signal on which it cleans up after itself. */
  stop(signal?: NodeJS.Signals): Promise<ProcessEnd>;
}

/**
 * Where a test's process writes its log: `name` in its directory, or, so that logs outlive the directory,
 * $STARGZ_BENCH_TEST_LOGS/FILE/DIRECTORY/NAME, with FILE the test's.
 */
export function logPathOf(directory: string, name: string): string {
  const top = process.env.STARGZ_BENCH_TEST_LOGS;
  const kept = top === undefined || top === '' ? directory : join(top, basename(process.argv[1] ?? 'node'), directory);
  mkdirSync(kept, { recursive: true });
  return join(kept, name);
}

const running = new Set<number>();
let isHooked = false;

/** Also where the test runner ends this process with SIGTERM, at its time limit. */
function killRunningAtExit(): void {
  if (isHooked) return;
  isHooked = true;
  process.once('SIGTERM', () => process.exit(143));
  process.once('exit', () => {
    for (const pid of running) sendSignal(pid, 'SIGKILL');
  });
}

/** Makes a started server a test's: it is stopped when the lifetime ends, and killed with this process. */
export function ownProcess(
  lifetime: Lifetime,
  server: Pick<TestProcess, 'address' | 'pid' | 'stop'> & { readonly logPath: string },
): TestProcess {
  const { address, pid, logPath, stop } = server;
  killRunningAtExit();
  running.add(pid);
  const owned: TestProcess = {
    address,
    pid,
    log: () => readFileSync(logPath, 'utf8'),
    async stop(signal) {
      const end = await stop(signal);
      running.delete(pid);
      return end;
    },
  };
  undoAfter(lifetime, () => owned.stop());
  return owned;
}
