/**
 * Shows a copy of a directory, all of it present in a store's data file, through FUSE and EROFS, until its input ends:
 * `serve-layer.ts REQUEST`. Prints one line, the paths as JSON by name. A process of its own, as the daemon is: who
 * measures a mount must not be who serves it. REQUEST is JSON: { source, directory, mounts: { NAME: FuseOptions | "erofs" } }.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { writeErofsImage } from '../erofs/image.ts';
import { ErofsServer } from '../erofs/server.ts';
import { type FuseOptions, FuseServer } from '../fuse/server.ts';
import { createPlainLayer, entriesOfDirectory, type PlainLayer } from './plain-layer.ts';

interface Request {
  readonly source: string;
  readonly directory: string;
  readonly mounts: Readonly<Record<string, FuseOptions | 'erofs'>>;
}

const slot = 1;
const reader = { ensure: () => Promise.reject(new Error('nothing is missing')) };
const onError = (error: unknown) => console.error(error);
const closers: (() => unknown)[] = [];

const request = JSON.parse(process.argv[2]!) as Request;
mkdirSync(request.directory, { recursive: true });
const dataPath = join(request.directory, 'data');
const layer = createPlainLayer(entriesOfDirectory(request.source), dataPath);
layer.fill();
const paths: Record<string, string> = {};
try {
  for (const [name, mount] of Object.entries(request.mounts))
    paths[name] = mount === 'erofs' ? await showByErofs(layer, name) : await showByFuse(layer, name, mount);
  console.log(JSON.stringify(paths));
  for await (const _ of process.stdin);
} finally {
  for (const close of closers.reverse()) await close();
  layer.close();
}

async function showByFuse(shown: PlainLayer, name: string, options: FuseOptions): Promise<string> {
  const server = await FuseServer.mount(join(request.directory, name), { ...options, onError });
  closers.push(() => server.close());
  return server.addLayer({ slot, table: shown.table, present: shown.present, dataFd: shown.dataFd }, reader);
}

/** Complete, and so out of the guard's reach and read directly, as the daemon mounts a layer that was filled. */
async function showByErofs(shown: PlainLayer, name: string): Promise<string> {
  const imagePath = join(request.directory, `${name}.image`);
  const image = openSync(imagePath, 'w');
  writeErofsImage(shown.table, image);
  closeSync(image);
  const server = new ErofsServer(join(request.directory, name), { onError });
  closers.push(() => server.close());
  const { table, present, dataFd } = shown;
  const path = await server.addLayer({ slot, table, present, dataFd, dataPath, imagePath, isComplete: true }, reader);
  server.releaseGuard(slot);
  return path;
}
