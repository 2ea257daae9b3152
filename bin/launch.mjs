/**
 * Starts a program of this package under the Node that it depends on, whichever Node npx or a global install runs this file
 * with. Node does not strip types below node_modules, so there the programs, their threads and the processes that they start
 * are given a module hook that does.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { constants } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** `program`: path from the top of the package. Ends this process as the program ends. */
export function launch(program) {
  const node = findNode();
  if (node === process.execPath && Number.parseInt(process.versions.node, 10) < 24) {
    process.stderr.write(
      `${program} needs Node 24, this is ${process.version}; install it, or this package with scripts\n`,
    );
    process.exitCode = 1;
    return;
  }
  const child = spawn(node, [join(root, program), ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, ...environment() },
  });
  // A terminal sends its signals to both; what others send to this process is passed on.
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  for (const signal of ['SIGINT', 'SIGQUIT']) process.on(signal, () => process.stdin.isTTY || child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`cannot start ${program}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (status, signal) => {
    process.exitCode = status ?? 128 + (constants.signals[signal] ?? 0);
  });
}

/** The package `node`; this Node, where npm was told to run no scripts, which are what fetches the other. */
function findNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve('node/package.json');
    const own = join(dirname(manifest), 'bin/node');
    if (existsSync(own)) return own;
  } catch {}
  return process.execPath;
}

function environment() {
  if (!root.includes('/node_modules/')) return {};
  const hook = pathToFileURL(join(root, 'bin/strip-types.mjs')).href;
  const options = [process.env.NODE_OPTIONS, `--import=${hook}`, '--disable-warning=ExperimentalWarning'];
  return { NODE_OPTIONS: options.filter((option) => option !== undefined && option !== '').join(' ') };
}
