import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HarnessError } from '../../cli/error.ts';
import { directory, parseOptions, selected, stateDir, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { readCodeState } from '../../host/commit.ts';
import { publications } from './catalogue.ts';
import { publish } from './publish.ts';

const program = 'publish:results';
const root = fileURLToPath(new URL('../../..', import.meta.url));
const known = publications.map((publication) => ({ ...publication, name: publication.program }));
const about = `Makes the runs that README and docs quote again, one after another, each into its own directory below results/published. It needs a
tree without uncommitted changes and changes nothing else; see CONTRIBUTING.md for what to do with the results`;
const table = {
  programs: selected('program', known, 'which of them', {
    defaults: known.filter(({ isExtra = false }) => !isExtra),
  }),
  out: directory('results: DIR/<program>/<run-id>/', join('results', 'published')),
  stateDir,
};

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const { programs, out, stateDir } = parseOptions(argv, table);
  const { commit, dirty } = await readCodeState(root);
  if (commit === null || dirty) {
    throw new HarnessError('uncommitted', 'a published run is made from a commit, and this tree differs from its own', {
      remedy: 'commit or stash the changes shown by git status (results/ does not count)',
    });
  }
  const outcomes = [];
  for (const publication of programs) {
    say(`\n=== npm run ${[publication.program, ...publication.args].join(' ')}`);
    outcomes.push(await publish(publication, { root, out, stateDir }, signal));
  }
  say('\nPublished');
  for (const { program, path, fault } of outcomes)
    say(`  ${program}: ${path ?? 'no results'}${fault ? `, ${fault}` : ''}`);
  return outcomes.every(({ fault }) => fault === undefined);
}
