/**
 * Lists a mounted tree, one JSON line an entry, in byte order of the path. A program of its own, because whoever serves a
 * mount must not walk it.
 *
 *     node harness/programs/equality/listing.ts DIR [--skip NAME]...      NAME: an entry of the root to leave out
 */
import { parseArgs } from 'node:util';
import { listTree } from './tree.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { skip: { type: 'string', multiple: true, default: [] } },
});
const root = positionals[0];
if (root === undefined) throw new Error('listing: name the directory to list');

let lines: string[] = [];
for (const entry of listTree(root, values.skip)) {
  lines.push(`${JSON.stringify(entry)}\n`);
  if (lines.length > 500) flush();
}
flush();

function flush(): void {
  process.stdout.write(lines.join(''));
  lines = [];
}
