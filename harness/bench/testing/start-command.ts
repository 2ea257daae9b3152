import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { parse } from 'csv-parse/sync';
import { runCommand } from '../command.ts';
import {
  type FakeCell,
  type FakeDependencies,
  type FakeTrace,
  fakeDependencies,
  fakeOutput,
} from './fake-dependencies.ts';

export interface StartOptions {
  readonly signal?: AbortSignal;
  readonly dependencies?: Partial<FakeDependencies>;
  /** Without --out and --state-dir. */
  readonly bare?: boolean;
  /** Of an earlier run. Default: a new one. */
  readonly outDir?: string;
}

/** Runs one command line of `bench` on cells that are not real, in a directory that goes with the test. */
export async function start(
  t: TestContext,
  argv: readonly string[],
  fakeCell: FakeCell,
  { signal = new AbortController().signal, bare = false, ...options }: StartOptions = {},
  fakeTrace?: FakeTrace,
) {
  const outDir = options.outDir ?? (await mkdtemp(join(tmpdir(), 'stargz-bench-out-')));
  t.after(() => rm(outDir, { recursive: true, force: true }));
  const dependencies = fakeDependencies(fakeCell, options.dependencies, fakeTrace);
  const stdout = fakeOutput();
  const stderr = fakeOutput();
  const places = ['--out', outDir, ...(argv.includes('--state-dir') ? [] : ['--state-dir', join(outDir, 'state')])];
  const around = { stdout, stderr, env: {}, signal, now: () => performance.now() };
  const exitCode = await runCommand(bare ? argv : [...argv, ...places], dependencies, around);
  const [runId = ''] = await readdir(join(outDir, 'bench')).catch(() => []);
  const path = join(outDir, 'bench', runId);
  const read = (name: string) => readFile(join(path, name), 'utf8');
  const samples = async () => parse(await read('samples.csv'), { columns: true }) as Record<string, string>[];
  return { exitCode, stdout: stdout.text, stderr: stderr.text, dependencies, outDir, runId, path, read, samples };
}

export function isCell(call: string): boolean {
  return call.startsWith('cell ');
}
