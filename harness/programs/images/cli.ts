import { usageOf } from '../../cli/options.ts';
import { runProgram } from '../../cli/program.ts';
import { listImages } from './list.ts';
import { parseImagesOptions, table } from './options.ts';
import { prepareImages } from './prepare.ts';
import { pruneImages } from './prune.ts';
import { verifyImages } from './verify.ts';

const program = 'images';
const about = `The images of the workloads in all formats, in the embedded registry or in another
  prepare   builds or copies, converts and pushes what is missing, the tag last; run again to go on
  list      what is there, and what it takes
  verify    reads every image that is there and checks every digest
  prune     removes from the state directory what is of no use, or more with --limit`;

await runProgram({
  name: program,
  usage: usageOf(program, about, table).replace('-- [options]', '-- [options] COMMAND'),
  run,
});

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseImagesOptions(argv);
  switch (options.command) {
    case 'prepare':
      return await prepareImages(options, signal);
    case 'list':
      return await listImages(options, signal);
    case 'verify':
      return await verifyImages(options, signal);
    case 'prune':
      return await pruneImages(options, signal);
  }
}
