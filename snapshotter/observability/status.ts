import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FallbackStatus, type StatusCounters, type StatusDocument, statusFileName } from '../api/status.ts';
import { describeError, type Log } from '../platform/log.ts';

/** Known before the daemon does anything. */
export type Identity = Pick<StatusDocument, 'version' | 'commit' | 'logLevel' | 'config'>;

export type StatusChange = Partial<Pick<StatusDocument, 'state' | 'listening' | 'face' | 'keeper' | 'descriptorStore'>>;

export interface DaemonStatus {
  /** Writes the file before the event loop's next turn; changes made meanwhile are written with it. */
  change(change: StatusChange): void;
  addFallback(fallback: Omit<FallbackStatus, 'at'>): void;
  document(): StatusDocument;
  /** Writes the last state at once. */
  close(): void;
}

const maxFallbacks = 20;
/** A full disk passes. */
const retryMs = 1000;

/**
 * Keeps `status.json` below `root`, which no other daemon may use. A file that cannot be written is one warning, no
 * more.
 */
export function openStatus(root: string, identity: Identity, counters: () => StatusCounters, log: Log): DaemonStatus {
  const startedAt = new Date(Date.now() - process.uptime() * 1000).toISOString();
  let changing: Required<StatusChange> = {
    state: 'starting',
    listening: { grpc: null, cri: null, metrics: null },
    face: null,
    keeper: { pid: null, reason: 'starting' },
    descriptorStore: 'none',
  };
  let fallbacks: readonly FallbackStatus[] = [];
  let pending: NodeJS.Immediate | undefined;
  let isUnwritable = false;
  let retry: NodeJS.Timeout | undefined;

  const document = (): StatusDocument => ({
    schemaVersion: 1,
    writtenAt: new Date().toISOString(),
    state: changing.state,
    version: identity.version,
    commit: identity.commit,
    pid: process.pid,
    startedAt,
    node: { version: process.version, options: process.execArgv },
    root,
    logLevel: identity.logLevel,
    config: identity.config,
    listening: changing.listening,
    face: changing.face,
    keeper: changing.keeper,
    descriptorStore: changing.descriptorStore,
    counters: counters(),
    fallbacks,
  });
  const write = (): void => {
    clearImmediate(pending);
    pending = undefined;
    const path = join(root, statusFileName);
    try {
      writeFileSync(`${path}.new`, `${JSON.stringify(document(), undefined, 2)}\n`, { mode: 0o600 });
      renameSync(`${path}.new`, path);
      isUnwritable = false;
    } catch (error) {
      if (!isUnwritable) log.warn({ path, error: describeError(error) }, 'status file cannot be written');
      isUnwritable = true;
      retry ??= setTimeout(() => {
        retry = undefined;
        write();
      }, retryMs).unref();
    }
  };
  const writeSoon = (): void => {
    pending ??= setImmediate(write);
  };
  write();
  return {
    document,
    change(change) {
      changing = { ...changing, ...change };
      writeSoon();
    },
    addFallback(fallback) {
      fallbacks = [...fallbacks.slice(1 - maxFallbacks), { at: new Date().toISOString(), ...fallback }];
      writeSoon();
    },
    close() {
      changing = { ...changing, state: 'stopped', listening: { grpc: null, cri: null, metrics: null } };
      write();
      clearTimeout(retry);
    },
  };
}
