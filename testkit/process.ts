import { mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { sendSignal } from '../harness/host/processes.ts';
import type { ProcessEnd } from '../harness/host/service.ts';
import { type Lifetime, undoAfter } from './lifetime.ts';

/** A server that a test started. */
export interface TestProcess {
  /** The socket or `host:port` it listens on. */
  readonly address: string;
  readonly pid: number;
  /** Its output so far, after that of earlier processes of the same name in the same directory. */
  log(): string;
  /** Sends the signal and waits for the end. May be called again. Default: the signal on which the server cleans up. */
  stop(signal?: NodeJS.Signals): Promise<ProcessEnd>;
}

/**
 * The path of a log: `name` in the directory of the process or, if $STARGZ_BENCH_TEST_LOGS is set, so that logs outlive the
 * test, $STARGZ_BENCH_TEST_LOGS/TEST-FILE/DIRECTORY/NAME.
 */
export function logPathOf(directory: string, name: string): string {
  const top = process.env.STARGZ_BENCH_TEST_LOGS;
  const kept = top === undefined || top === '' ? directory : join(top, basename(process.argv[1] ?? 'node'), directory);
  mkdirSync(kept, { recursive: true });
  return join(kept, name);
}

const running = new Set<number>();
let isHooked = false;

/** Also on SIGTERM, which the test runner sends at its time limit. */
function killRunningAtExit(): void {
  if (isHooked) return;
  isHooked = true;
  process.once('SIGTERM', () => process.exit(143));
  process.once('exit', () => {
    for (const pid of running) sendSignal(pid, 'SIGKILL');
  });
}

/** Stops a started server when the lifetime ends, and kills it if this process exits first. */
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
