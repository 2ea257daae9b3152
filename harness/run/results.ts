import { readFile } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type DaemonSetting,
  type Environment,
  environmentSchema,
  type LinkSetting,
} from '../../measurements/environment.ts';
import { type Limit, limitColumns } from '../../measurements/limit.ts';
import { type Columns, stringifyTable } from '../../measurements/table.ts';
import { createTableFile, type TableFile } from '../../measurements/table-file.ts';
import { type CodeState, readCodeState } from '../host/commit.ts';
import { describeMachine, noiseWarnings } from '../host/machine.ts';
import { commandLine } from './command-line.ts';
import { createResultDir, removeResultDir, writeResultFile } from './result-dir.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface ResultsRequest {
  /** The npm script: `bench:pull`. Names the directory. */
  readonly program: string;
  readonly argv: readonly string[];
  /** --out: the results go to OUT/<program>/<run-id>/. */
  readonly outDir: string;
  /** --state-dir: the disk it is on is described. It must exist. Default: the directory of temporary files. */
  readonly stateDir?: string;
  readonly seed?: number;
  readonly link?: LinkSetting;
  readonly daemon?: DaemonSetting | undefined;
  readonly details?: Readonly<Record<string, unknown>>;
  /** Default: described here. */
  readonly machine?: { readonly machine: object; readonly warnings: readonly string[] };
}

/**
 * The directory of a run: its tables, limits.csv, charts, and environment.json, which says which code and machine they come
 * from. Disposal without `complete` records the run as interrupted or failed, or removes the directory if nothing was
 * measured.
 */
export interface Results extends AsyncDisposable {
  readonly runId: string;
  readonly path: string;
  /** What environment.json holds now. */
  readonly environment: Environment;
  /** Creates NAME.csv. Each row is durable when `append` resolves. Closed with the results. */
  openTable<T extends object>(name: string, columns: Columns<T>): Promise<Pick<TableFile<T>, 'append'>>;
  /** Writes NAME.csv as a whole. */
  writeTable<T extends object>(name: string, columns: Columns<T>, rows: readonly T[]): Promise<void>;
  writeFile(name: string, content: string | Uint8Array): Promise<void>;
  /** Writes limits.csv, if there are limits, and the end of the run. `details` are merged into those of the start. */
  complete(end?: ResultsEnd): Promise<void>;
}

export interface ResultsEnd {
  readonly limits?: readonly Limit[];
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Creates the directory, and environment.json with status `running`. An aborted `signal` makes the end `interrupted`. */
export async function openResults(request: ResultsRequest, signal: AbortSignal): Promise<Results> {
  const startedAt = new Date();
  const code = await readCodeState(root);
  const { runId, path } = await createResultDir(request.outDir, request.program, startedAt);
  let environment: Environment;
  const write = async (end: Partial<Environment>) => {
    environment = { ...environment, ...end };
    await writeResultFile(path, 'environment.json', `${JSON.stringify(environment, null, 2)}\n`);
  };
  try {
    environment = await describeStart(request, { runId, startedAt, code });
    await write({});
  } catch (error) {
    await removeResultDir(path);
    throw error;
  }

  const tables: TableFile<never>[] = [];
  let isEmpty = true;
  let isCompleted = false;
  const close = async () => {
    for (const table of tables.splice(0)) await table.close();
  };
  const end = async (status: Environment['status'], details: ResultsEnd['details'] = {}) => {
    await close();
    const now = await readCodeState(root);
    await write({
      status: signal.aborted ? 'interrupted' : status,
      dirty: code.dirty || now.dirty || now.commit !== code.commit,
      endedAt: new Date().toISOString(),
      details: { ...environment.details, ...details },
    });
  };
  return {
    runId,
    path,
    get environment() {
      return environment;
    },
    openTable: async (name, columns) => {
      const table = await createTableFile(join(path, `${name}.csv`), columns);
      tables.push(table as TableFile<never>);
      return {
        append: async (row) => {
          await table.append(row);
          isEmpty = false;
        },
      };
    },
    writeTable: async (name, columns, rows) => {
      await writeResultFile(path, `${name}.csv`, stringifyTable(columns, rows));
      isEmpty = false;
    },
    writeFile: async (name, content) => {
      await writeResultFile(path, name, content);
      isEmpty = false;
    },
    complete: async ({ limits, details } = {}) => {
      if (limits !== undefined) await writeResultFile(path, 'limits.csv', stringifyTable(limitColumns, limits));
      await end('complete', details);
      isCompleted = true;
    },
    [Symbol.asyncDispose]: async () => {
      await close();
      if (isCompleted) return;
      // The run is failing already, perhaps for lack of disk space: its own error is the one to report.
      if (isEmpty) await removeResultDir(path).catch(() => {});
      else await end('failed').catch(() => {});
    },
  };
}

async function describeStart(
  request: ResultsRequest,
  { runId, startedAt, code }: { readonly runId: string; readonly startedAt: Date; readonly code: CodeState },
): Promise<Environment> {
  const { link } = request;
  const described = request.machine ?? (await describeHere(request.stateDir ?? tmpdir()));
  const { versions, ...machine } = { versions: {}, ...described.machine };
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  return {
    schema: environmentSchema,
    program: request.program,
    runId,
    ...code,
    command: commandLine(request.program, request.argv),
    seed: request.seed ?? null,
    status: 'running',
    startedAt: startedAt.toISOString(),
    endedAt: null,
    link: link === undefined ? null : { rttMs: link.rttMs, bandwidthMbps: link.bandwidthMbps ?? 'unlimited' },
    daemon: request.daemon ?? null,
    versions: { 'stargz-bench': version, kernel: release(), ...versions },
    machine,
    warnings: described.warnings,
    details: request.details ?? {},
  };
}

async function describeHere(stateDir: string) {
  const machine = await describeMachine(stateDir);
  return { machine, warnings: noiseWarnings(machine) };
}
