import { relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { MeasurementError } from '../measurements/error.ts';
import { drawCharts } from './draw.ts';

const usage = 'usage: npm run charts -- results/<program>/<run-id>   (draws again from its tables)';

const parsed = parseArguments();
if (typeof parsed === 'string') fail(parsed, 2);
else if (parsed.values.help) console.log(usage);
else if (parsed.positionals.length === 0) fail(`which run? ${usage}`, 2);
else await draw(parsed.positionals);

async function draw(directories: readonly string[]): Promise<void> {
  try {
    for (const directory of directories) {
      for (const file of await drawCharts(directory)) console.log(relative('', resolve(file)));
    }
  } catch (error) {
    if (!(error instanceof MeasurementError)) throw error;
    fail(`${error.message}${error.remedy === undefined ? '' : `; ${error.remedy}`}`, 1);
  }
}

/** The arguments, or what is wrong with them. */
function parseArguments() {
  try {
    return parseArgs({ allowPositionals: true, options: { help: { type: 'boolean', short: 'h', default: false } } });
  } catch (error) {
    return `${(error as Error).message.split('. ')[0]}; ${usage}`;
  }
}

function fail(message: string, exitCode: number): void {
  console.error(`stargz-bench charts: ${message}`);
  process.exitCode = exitCode;
}
