import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { HarnessError } from '../../cli/error.ts';
import { unmountUnder } from '../../host/mounts.ts';

/** A tree as a container sees it: through an overlay with an empty upper directory. */
export interface View {
  readonly backend: string;
  readonly root: string;
}

export interface Views {
  readonly views: readonly View[];
  close(): Promise<void>;
}

const program = fileURLToPath(new URL('../../../snapshotter/bench/serve-layer.ts', import.meta.url));
const serveLimitMs = 300_000;
const endLimitMs = 30_000;

/**
 * Opens overlayfs on the files themselves, which comes first, and overlayfs on each of `mounts` (serve-layer.ts). Everything is
 * below `directory`, which is cleared.
 */
export async function openViews(
  directory: string,
  tree: string,
  mounts: Readonly<Record<string, object | 'erofs'>>,
  signal: AbortSignal,
): Promise<Views> {
  await unmountUnder(directory);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const request = JSON.stringify({ source: tree, directory: join(directory, 'store'), mounts });
  const server = spawn(process.execPath, [program, request], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(server, 'exit');
  const close = async () => {
    await unmountUnder(join(directory, 'overlay'));
    server.stdin.end();
    const timer = setTimeout(() => server.kill('SIGKILL'), endLimitMs);
    await ended;
    clearTimeout(timer);
    await unmountUnder(directory);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const paths = await Promise.race([
      readPaths(server.stdout, AbortSignal.any([signal, AbortSignal.timeout(serveLimitMs)])),
      ended.then(() => {
        throw new HarnessError('start', 'the process that serves the layer exited before the layer was mounted');
      }),
    ]);
    const views: View[] = [];
    for (const [backend, lower] of Object.entries({ overlayfs: tree, ...paths })) {
      views.push({ backend, root: await mountOverlay(join(directory, 'overlay', backend), lower) });
    }
    return { views, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readPaths(output: NodeJS.ReadableStream, signal: AbortSignal): Promise<Record<string, string>> {
  const [line] = (await once(createInterface({ input: output }), 'line', { signal })) as [string];
  return JSON.parse(line) as Record<string, string>;
}

async function mountOverlay(directory: string, lower: string): Promise<string> {
  const [upper, work, root] = ['upper', 'work', 'root'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [upper, work, root]) await mkdir(path, { recursive: true });
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  await execa('mount', ['-t', 'overlay', '-o', options, 'overlay', root], { timeout: 60_000 });
  return root;
}
