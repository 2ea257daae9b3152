import { relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { drawCharts } from './draw.ts';
import { ChartError } from './error.ts';

const usage = 'usage: npm run charts -- results/<run-id>   (draws again from its samples.csv)';

try {
  const { values, positionals } = parseArguments();
  if (values.help) console.log(usage);
  else {
    for (const dir of positionals) {
      for (const file of await drawCharts(dir)) console.log(relative('', resolve(file)));
    }
  }
} catch (error) {
  console.error(`stargz-bench charts: ${error instanceof Error ? error.message : String(error)}`);
  if (!(error instanceof ChartError)) console.error(error);
  process.exitCode = error instanceof ChartError && error.code === 'usage' ? 2 : 1;
}

function parseArguments() {
  let parsed: ReturnType<typeof parseOptions>;
  try {
    parsed = parseOptions();
  } catch (cause) {
    throw new ChartError('usage', `${(cause as Error).message.split('. ')[0]}; ${usage}`, { cause });
  }
  if (parsed.positionals.length === 0 && !parsed.values.help) throw new ChartError('usage', `which run? ${usage}`);
  return parsed;
}

function parseOptions() {
  return parseArgs({ allowPositionals: true, options: { help: { type: 'boolean', short: 'h', default: false } } });
}
