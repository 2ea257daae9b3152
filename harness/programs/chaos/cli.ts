import { number, out, parseOptions, seed, usageOf, valued } from '../../cli/options.ts';
import { UsageError } from '../../cli/quantity.ts';
import { runProgram } from '../../cli/program.ts';
import { runChaos } from './chaos.ts';

const program = 'chaos';
const about = `Kills, stops, fills and cuts what containers on lazily mounted images depend on, at random, while they read and compare: the
daemon, its keeper, containerd, the containers themselves, the registry, the link, the disk. Each node is a daemon on one face, a
containerd that pulls through it and a container of the image, and lives from an empty directory to an empty directory`;
const table = {
  minutes: valued('M', 'how long; lives under way then end', '20', parseMinutes),
  seed: seed(1, 'of faults and reads'),
  nodes: number('at the same time, half on each face', 4, 1, 64),
  out,
};

await runProgram({
  name: program,
  usage: usageOf(program, about, table),
  run: (argv, signal) => runChaos({ ...parseOptions(argv, table), argv }, signal),
});

function parseMinutes(option: string, text: string): number {
  const minutes = Number(text);
  if (minutes > 0 && minutes <= 1440) return minutes;
  throw new UsageError(`${option}: expected minutes, more than 0 and at most 1440, found "${text}"`);
}
