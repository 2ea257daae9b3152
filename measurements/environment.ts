import { readFile } from 'node:fs/promises';
import { MeasurementError } from './error.ts';

/** Raised when a field changes its meaning or goes. Fields may be added without it. */
export const environmentSchema = 1;

export type RunStatus = 'running' | 'complete' | 'interrupted' | 'failed';

export interface LinkSetting {
  readonly rttMs: number;
  /** Megabits a second; undefined is an unlimited link. */
  readonly bandwidthMbps: number | undefined;
  /** How TCP is modelled. Undefined: not at all; a connection has the whole bandwidth from its first byte. */
  readonly tcp?: TcpSetting | undefined;
}

/** Slow start, and the share of segments that are lost. */
export interface TcpSetting {
  readonly lossShare: number;
}

/** How the snapshotter was started. */
export interface DaemonSetting {
  /** V8's and Node's own options. */
  readonly nodeOptions: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** config.toml of each mode or side of a comparison, by its name. */
  readonly configs: Readonly<Record<string, unknown>>;
}

/** environment.json: which code a result is of, and under which conditions it came about. One schema for all programs. */
export interface Environment {
  readonly schema: number;
  /** The npm script. */
  readonly program: string;
  readonly runId: string;
  /** 40 hex digits; null where the code is not a git checkout. */
  readonly commit: string | null;
  /** Whether a file outside results/ differed from the commit, at the start or at the end of the run. */
  readonly dirty: boolean;
  /** As typed, without where the results and the state were kept. */
  readonly command: string;
  readonly seed: number | null;
  readonly status: RunStatus;
  /** RFC 3339, UTC. */
  readonly startedAt: string;
  readonly endedAt: string | null;
  /** Between the registry and its client; null where there was none. */
  readonly link: {
    readonly rttMs: number;
    readonly bandwidthMbps: number | 'unlimited';
    readonly tcp?: TcpSetting;
  } | null;
  /** Null where no daemon ran. */
  readonly daemon: DaemonSetting | null;
  /** What each program says of itself; null where it is absent. `stargz-bench` is this project. */
  readonly versions: Readonly<Record<string, string | null>>;
  readonly machine: Readonly<Record<string, unknown>>;
  /** What on the machine may have disturbed the run. */
  readonly warnings: readonly string[];
  /** What only this program has to say. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** Reads DIR/environment.json. Throws MeasurementError where it is absent, malformed, or of another schema. */
export async function readEnvironment(directory: string): Promise<Environment> {
  const path = `${directory}/environment.json`;
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new MeasurementError('missing-file', `cannot read ${path} (${cause.code})`, {
      remedy: 'give the directory of a run',
      cause,
    });
  });
  return parseEnvironment(text, path);
}

export function parseEnvironment(text: string, path: string): Environment {
  const refuse = (what: string, cause?: unknown): never => {
    throw new MeasurementError('bad-environment', `${path}: ${what}`, {
      remedy: 'restore the file as it was written, or run the program again',
      cause,
    });
  };
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    return refuse('not JSON', cause);
  }
  if (typeof record !== 'object' || record === null) return refuse('not an object');
  if (record.schema !== environmentSchema) {
    throw new MeasurementError(
      'unknown-schema',
      `${path}: schema ${record.schema ?? 'absent'}, this version reads ${environmentSchema}`,
      { remedy: 'read it with the version of stargz-bench that wrote it, or run the program again' },
    );
  }
  const isCommit =
    record.commit === null || (typeof record.commit === 'string' && /^[0-9a-f]{40}$/.test(record.commit));
  if (!isCommit) refuse('commit is neither null nor 40 hex digits');
  if (typeof record.dirty !== 'boolean') refuse('dirty is not a boolean');
  for (const key of ['program', 'runId', 'command', 'status', 'startedAt']) {
    if (typeof record[key] !== 'string') refuse(`${key} is not a string`);
  }
  for (const key of ['versions', 'machine', 'details']) {
    if (typeof record[key] !== 'object' || record[key] === null) refuse(`${key} is not an object`);
  }
  return record as unknown as Environment;
}
