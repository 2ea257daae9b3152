import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MeasurementError } from '../../measurements/error.ts';
import { makeSite } from './site.ts';

const usage = `npm run site [-- options]     makes a static site of all published runs
  --published DIR  default results/published
  --out DIR        default results/site; made anew`;

const parsed = parseArguments();
if (typeof parsed === 'string') fail(parsed, 2);
else if (parsed.values.help) console.log(usage);
else await make(parsed.values.published, parsed.values.out);

async function make(publishedDir: string, outDir: string): Promise<void> {
  const methodPath = fileURLToPath(new URL('../../docs/architecture.md', import.meta.url));
  try {
    const { runCount, faults } = await makeSite({ publishedDir, outDir, methodPath });
    for (const fault of faults) console.error(`stargz-bench site: not shown: ${fault}`);
    console.log(`${runCount} runs: ${relative('', resolve(outDir))}/index.html`);
  } catch (error) {
    if (!(error instanceof MeasurementError)) throw error;
    fail(`${error.message}${error.remedy === undefined ? '' : `; ${error.remedy}`}`, 1);
  }
}

/** The arguments, or what is wrong with them. */
function parseArguments() {
  try {
    return parseArgs({
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        published: { type: 'string', default: 'results/published' },
        out: { type: 'string', default: 'results/site' },
      },
    });
  } catch (error) {
    return `${(error as Error).message.split('. ')[0]}; npm run site -- --help`;
  }
}

function fail(message: string, exitCode: number): void {
  console.error(`stargz-bench site: ${message}`);
  process.exitCode = exitCode;
}
