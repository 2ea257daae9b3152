import { existsSync } from 'node:fs';
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
import { createTableFile, reopenTableFile, type TableFile } from '../../measurements/table-file.ts';
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
  /** A run that was cut off, to go on in its directory; its description stays, but for its end. */
  readonly earlier?: EarlierResults | undefined;
  /** Default: described here. */
  readonly machine?: { readonly machine: object; readonly warnings: readonly string[] };
}

export interface EarlierResults {
  /** Its directory. */
  readonly path: string;
  readonly environment: Environment;
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
  /** Adds to the details of environment.json, for whoever resumes the run. */
  describe(details: Readonly<Record<string, unknown>>): Promise<void>;
  /** Creates NAME.csv, or goes on with that of the earlier run. Each row is durable when `append` resolves. Closed with the results. */
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

/** As environment.json has it; null: none was emulated. */
export function describeLink(link: LinkSetting | undefined): Environment['link'] {
  if (link === undefined) return null;
  const { rttMs, bandwidthMbps = 'unlimited', tcp } = link;
  return { rttMs, bandwidthMbps, ...(tcp === undefined ? {} : { tcp }) };
}

/** The commit of this code. */
export function readOwnCode(): Promise<CodeState> {
  return readCodeState(root);
}

/** Creates the directory, and environment.json with status `running`. An aborted `signal` makes the end `interrupted`. */
export async function openResults(request: ResultsRequest, signal: AbortSignal): Promise<Results> {
  const { earlier } = request;
  const startedAt = new Date();
  const code = await readOwnCode();
  const { runId, path } =
    earlier === undefined
      ? await createResultDir(request.outDir, request.program, startedAt)
      : { runId: earlier.environment.runId, path: earlier.path };
  let environment: Environment;
  const write = async (changed: Partial<Environment>) => {
    environment = { ...environment, ...changed };
    await writeResultFile(path, 'environment.json', `${JSON.stringify(environment, null, 2)}\n`);
  };
  try {
    const described = await describeStart(request, { runId, startedAt, code });
    environment = earlier === undefined ? described : describeResumption(earlier.environment, described);
    await write({});
  } catch (error) {
    if (earlier === undefined) await removeResultDir(path);
    throw error;
  }

  const tables: TableFile<never>[] = [];
  let isEmpty = earlier === undefined;
  let isCompleted = false;
  const close = async () => {
    for (const table of tables.splice(0)) await table.close();
  };
  const end = async (status: Environment['status'], details: ResultsEnd['details'] = {}) => {
    await close();
    const now = await readOwnCode();
    await write({
      status: signal.aborted ? 'interrupted' : status,
      dirty: environment.dirty || now.dirty || now.commit !== code.commit,
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
    describe: (details) => write({ details: { ...environment.details, ...details } }),
    openTable: async (name, columns) => {
      const file = join(path, `${name}.csv`);
      const isThere = earlier !== undefined && existsSync(file);
      const table = await (isThere ? reopenTableFile : createTableFile)(file, columns);
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
    link: describeLink(link),
    daemon: request.daemon ?? null,
    versions: { 'stargz-bench': version, kernel: release(), ...versions },
    machine,
    warnings: described.warnings,
    details: request.details ?? {},
  };
}

/** The run remains that of its start: its command, commit, machine and link. When and by what it was resumed is among the details. */
function describeResumption(earlier: Environment, now: Environment): Environment {
  const { resumed = [] } = earlier.details as { readonly resumed?: readonly object[] };
  const { startedAt, commit, dirty, machine, warnings } = now;
  return {
    ...earlier,
    status: 'running',
    endedAt: null,
    dirty: earlier.dirty || dirty || earlier.commit !== commit,
    warnings: [...new Set([...earlier.warnings, ...warnings])],
    details: { ...earlier.details, ...now.details, resumed: [...resumed, { startedAt, commit, dirty, machine }] },
  };
}

async function describeHere(stateDir: string) {
  const machine = await describeMachine(stateDir);
  return { machine, warnings: noiseWarnings(machine) };
}
