/** The converter on its own. `npm run convert` is harness/optimize/cli.ts, which can record as well. */
import { convertHelp } from './arguments.ts';
import { runCommand } from './command.ts';
import { runConvert } from './run.ts';

const command = { name: 'convert', help: convertHelp, whenInterrupted: 'nothing was tagged', run: runConvert };
process.exitCode = await runCommand(command, process.argv.slice(2));
