import { readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import { ChartError } from './error.ts';

/** What the charts use of a row of samples.csv; undefined where the cell is empty. */
export interface Sample {
  readonly runId: string;
  readonly workload: string;
  readonly mode: string;
  readonly ok: boolean;
  readonly error: string | undefined;
  readonly pullMs: number | undefined;
  readonly createMs: number | undefined;
  readonly runMs: number | undefined;
  readonly totalMs: number | undefined;
  readonly wireBytes: number | undefined;
  readonly wireRequests: number | undefined;
  readonly imageBytes: number | undefined;
  readonly layers: number | undefined;
  readonly lazyLayers: number | undefined;
  readonly daemonRssPeakKib: number | undefined;
  readonly daemonCpuMs: number | undefined;
  readonly containerdCpuMs: number | undefined;
  readonly rttMs: number | undefined;
  readonly bandwidthMbps: number | undefined;
  readonly startedAt: string | undefined;
}

type Cells = Readonly<Record<string, string>>;

const requiredColumns = ['workload', 'mode', 'total_ms', 'ok'];

/** Reads samples.csv by column name; columns it does not know are ignored. */
export async function readSamples(path: string): Promise<Sample[]> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new ChartError('missing-file', `cannot read ${path} (${cause.code}); give the directory of a run`, { cause });
  });
  return parseSamples(text, path);
}

export function parseSamples(text: string, path: string): Sample[] {
  let rows: Cells[];
  try {
    rows = parse(text, { columns: true, bom: true }) as Cells[];
  } catch (cause) {
    throw new ChartError('bad-csv', `${path} is not a CSV file of samples: ${(cause as Error).message}`, { cause });
  }
  const [first] = rows;
  if (first === undefined) throw new ChartError('no-samples', `${path} holds no samples`);
  const missing = requiredColumns.filter((column) => !(column in first));
  if (missing.length > 0) throw new ChartError('bad-csv', `${path} lacks the column ${missing.join(', ')}`);
  return rows.map((cells, index) => readRow(cells, `${path}, line ${index + 2}`));
}

function readRow(cells: Cells, place: string): Sample {
  const number = (column: string) => readNumber(cells, column, place);
  const text = (column: string) => cells[column] || undefined;
  return {
    runId: cells.run_id ?? '',
    workload: cells.workload ?? '',
    mode: cells.mode ?? '',
    ok: cells.ok === 'true',
    error: text('error'),
    pullMs: number('pull_ms'),
    createMs: number('create_ms'),
    runMs: number('run_ms'),
    totalMs: number('total_ms'),
    wireBytes: number('wire_bytes'),
    wireRequests: number('wire_requests'),
    imageBytes: number('image_bytes'),
    layers: number('layers'),
    lazyLayers: number('lazy_layers'),
    daemonRssPeakKib: number('daemon_rss_peak_kib'),
    daemonCpuMs: number('daemon_cpu_ms'),
    containerdCpuMs: number('containerd_cpu_ms'),
    rttMs: number('rtt_ms'),
    bandwidthMbps: number('bandwidth_mbps'),
    startedAt: text('started_at'),
  };
}

function readNumber(cells: Cells, column: string, place: string): number | undefined {
  const text = cells[column];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new ChartError('bad-csv', `${place}: ${column} is not a number: ${text}`);
  return value;
}
