/** npm run convert -- SOURCE TARGET [--optimize -- ARGUMENT...] */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AccessRecord, formatAccesses } from '../../snapshotter/convert/accesses.ts';
import { parseConvertArguments } from '../../snapshotter/convert/arguments.ts';
import { openClient, runCommand } from '../../snapshotter/convert/command.ts';
import { ConvertError } from '../../snapshotter/convert/error.ts';
import { runConvert } from '../../snapshotter/convert/run.ts';
import { openSource } from '../../snapshotter/images/open.ts';
import { formatMegabytes } from '../../measurements/format.ts';
import { HarnessError } from '../cli/error.ts';
import { UsageError } from '../cli/quantity.ts';
import { type OptimizeArguments, optimizeHelp, parseOptimizeArguments } from './arguments.ts';

const command = { name: 'convert', help: optimizeHelp, whenInterrupted: 'nothing was tagged', run };
process.exitCode = await runCommand(command, process.argv.slice(2));

async function run(argv: readonly string[], signal: AbortSignal): Promise<number | undefined> {
  if (argv.slice(0, argv.indexOf('--') >>> 0).some((argument) => argument === '--help' || argument === '-h'))
    return undefined;
  try {
    const parsed = parseOptimizeArguments(argv);
    return parsed === undefined ? await runConvert(argv, signal) : await optimize(parsed, signal);
  } catch (error) {
    throw asConvertError(error);
  }
}

async function optimize(parsed: OptimizeArguments, signal: AbortSignal): Promise<number | undefined> {
  const { source: location, cacheDir, plainHttp } = parseConvertArguments(parsed.convertArgv)!;
  const { workload, recordOut, stateDir = cacheDir ?? tmpdir(), convertArgv } = parsed;
  await mkdir(stateDir, { recursive: true });
  await using stack = new AsyncDisposableStack();
  const client = openClient([location], plainHttp);
  stack.defer(() => client.close());
  const source = await openSource(location, { client, scratch: stateDir }, signal);
  stack.defer(() => source.close());
  // A conversion alone needs nothing of containerd.
  const { recordImage } = await import('./record-image.ts');
  const accesses = await recordImage({ source, workload, stateDir, onStep: tell }, signal);
  tell(describeRecord(accesses));
  const scratch = await mkdtemp(join(stateDir, 'stargz-record-'));
  stack.defer(() => rm(scratch, { recursive: true, force: true }));
  const path = recordOut ?? join(scratch, 'accesses.jsonl');
  await writeFile(path, formatAccesses(accesses));
  return await runConvert([...convertArgv, '--record-in', path], signal);
}

function tell(line: string): void {
  process.stderr.write(`convert: ${line}\n`);
}

function describeRecord(accesses: readonly AccessRecord[]): string {
  const files = new Set(accesses.map(({ layer, path }) => `${layer} ${path}`));
  const readBytes = accesses.reduce((sum, { range }) => sum + (range === undefined ? 0 : range.end - range.start), 0);
  return `it read ${formatMegabytes(readBytes)} MB of ${files.size} files until it was ready`;
}

/** As the converter reports its own: one line, and the status of wrong arguments. */
function asConvertError(error: unknown): unknown {
  if (error instanceof UsageError) return new ConvertError('invalid-option', `${error.message} (see --help)`);
  if (!(error instanceof HarnessError)) return error;
  const { message, remedy } = error;
  return new ConvertError(
    'recording',
    [message, remedy]
      .filter(Boolean)
      .join('; ')
      .replaceAll(/\s*\n\s*/g, ' '),
    {
      cause: error,
    },
  );
}
