import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { holdTo } from '../../../measurements/limit.ts';
import type { Columns } from '../../../measurements/table.ts';
import { flag, number, optional, out, parseOptions, parsePath, seed, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { UsageError } from '../../cli/quantity.ts';
import { conclude } from '../../run/conclude.ts';
import { openResults } from '../../run/results.ts';
import { describeStack } from './describe-stack.ts';
import { discoverTargets, type FoundTarget } from './discover.ts';
import { runTarget } from './run-target.ts';

const program = 'fuzz';
const table = {
  minutes: number('in total, shared by the targets', 10, 1, 24 * 60),
  seed: seed(1, 'of the mutations'),
  target: optional('NAME', 'only this target, or all (default all)', (_, text) => text),
  replay: optional('FILE', 'run --target once with this input instead of fuzzing', parsePath),
  out,
  list: flag('list the targets and their files, without running them'),
};

interface Row {
  readonly target: string;
  readonly file: string;
  readonly seconds: number;
  readonly executions: number;
  readonly corpus: number;
  readonly features: number;
  readonly finds: number;
}

const columns: Columns<Row> = {
  target: 'text',
  file: 'text',
  seconds: 'number',
  executions: 'integer',
  corpus: 'integer',
  features: 'integer',
  finds: 'integer',
};

await runProgram({
  name: program,
  usage: usageOf(program, 'Feeds mutated input to the parsers of untrusted bytes', table),
  run,
});

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const found = selectTargets(await discoverTargets(), options.target);
  if (options.list) {
    for (const { target, file } of found) say(`${target.name.padEnd(24)} ${file}`);
    return true;
  }
  if (options.replay !== undefined) return await replay(found, options.replay);

  await using results = await openResults({ program, argv, outDir: options.out, seed: options.seed }, signal);
  const summary = await results.openTable('samples', columns);
  const durationMs = (options.minutes * 60_000) / found.length;
  let findCount = 0;
  for (const { target, file } of found) {
    const startedMs = performance.now();
    const { counts, finds } = await runTarget({ name: target.name, seed: options.seed, durationMs }, signal);
    const seconds = (performance.now() - startedMs) / 1000;
    await summary.append({ target: target.name, file, seconds, ...counts, finds: finds.length });
    say(
      `${target.name.padEnd(24)} ${counts.executions} executions, ${counts.features} coverage features, ${finds.length} finds`,
    );
    for (const [at, { input, error }] of finds.entries()) {
      const name = `${target.name}-${at + 1}.input`;
      const command = `npm run fuzz -- --target ${target.name} --replay ${join(results.path, name)}`;
      await results.writeFile(name, input);
      await results.writeFile(`${target.name}-${at + 1}.txt`, `${command}\n\n${error}\n`);
      say(`  ${error.split('\n')[0]}\n  ${command}`);
    }
    findCount += finds.length;
  }
  return await conclude(results, [holdTo('inputs that were not handled', findCount, 0, 'finds')]);
}

function selectTargets(found: readonly FoundTarget[], name: string | undefined): readonly FoundTarget[] {
  if (name === undefined || name === 'all') return found;
  const selected = found.filter(({ target }) => target.name === name);
  if (selected.length > 0) return selected;
  throw new UsageError(`--target ${name}: there is no such target; --list names them`);
}

async function replay(found: readonly FoundTarget[], path: string): Promise<boolean> {
  if (found.length !== 1) throw new UsageError('--replay: name the --target that the input is for');
  const input = await readFile(path);
  try {
    found[0]!.target.run(input);
  } catch (error) {
    say(describeStack(error));
    return false;
  }
  say(`${input.length} bytes: nothing wrong`);
  return true;
}
