/**
 * Serves a copy of a directory, all of it present, until it is told to end: `serve-directory.ts DIR MOUNTPOINT
 * OPTIONS`. A process of its own, for tests that kill it and for measurements. OPTIONS is JSON: FuseOptions and
 * `dataPath`.
 */
import { FuseServer } from '../server.ts';
import { createPlainLayer, entriesOfDirectory } from '../../bench/plain-layer.ts';

const [directory, mountpoint, optionsJson] = process.argv.slice(2);
const { dataPath, ...options } = JSON.parse(optionsJson!);
const layer = createPlainLayer(entriesOfDirectory(directory!), dataPath);
layer.fill();
const server = await FuseServer.mount(mountpoint!, options);
const reader = { ensure: () => Promise.reject(new Error('nothing is missing')) };
const path = await server.addLayer(
  { slot: 1, table: layer.table, present: layer.present, dataFd: layer.dataFd },
  reader,
);
console.log(path);
process.once('SIGTERM', async () => {
  await server.close();
  layer.close();
});
