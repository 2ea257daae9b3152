import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach } from 'node:test';
import { execa } from 'execa';
import { pseudoRandomBytes } from '../../../testkit/random.ts';
import type { LayerReader } from '../../store/layer-reader.ts';
import { type FuseOptions, FuseServer } from '../server.ts';
import { createPlainLayer, type Entry, type PlainLayer } from '../../bench/plain-layer.ts';
import { until } from '../../../testkit/until.ts';

/**
 * Real mounts for tests, taken down after each. Whatever looks into one is a child process: the test's own is the
 * server, and would wait for itself.
 */

export const limit = { timeout: 60_000 };
export const root = mkdtempSync(join(tmpdir(), 'fuse-server-'));
let cleanups: (() => unknown)[] = [];
let count = 0;

/** Runs after the test, last one first. */
export function cleanUp(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

afterEach(async () => {
  const todo = cleanups.reverse();
  cleanups = [];
  for (const cleanup of todo) await cleanup();
});
after(() => rmSync(root, { recursive: true, force: true }));

export interface Mounted {
  readonly server: FuseServer;
  readonly layer: PlainLayer;
  readonly path: string;
  readonly slot: number;
  readonly errors: unknown[];
}

/** A mount with one layer. Without a reader, everything is present. */
export async function serve(
  entries: readonly Entry[],
  reader?: (layer: PlainLayer) => LayerReader,
  options: FuseOptions = {},
) {
  const base = join(root, String(++count));
  mkdirSync(base);
  const layer = createPlainLayer(entries, join(base, 'data'), 64 * 1024);
  if (reader === undefined) layer.fill();
  const errors: unknown[] = [];
  const server = await FuseServer.mount(join(base, 'mnt'), { onError: (error) => errors.push(error), ...options });
  cleanups.push(async () => {
    await server.close();
    layer.close();
  });
  const path = await server.addLayer(
    { slot: count, table: layer.table, present: layer.present, dataFd: layer.dataFd },
    reader?.(layer) ?? { ensure: () => Promise.reject(new Error('nothing should be missing')) },
  );
  return { server, layer, path, slot: count, errors } satisfies Mounted;
}

export async function output(command: string, ...args: string[]): Promise<string> {
  return (await execa(command, args, { timeout: 30_000 })).stdout;
}

/** A Python program of this directory. */
export function runProgram(name: string, ...args: string[]): Promise<string> {
  return output('python3', join(import.meta.dirname, name), ...args);
}

/** Resolves once `count` reads of the mount wait for data. */
export function untilPending(server: FuseServer, count = 1): Promise<unknown> {
  return until(`${count} reads wait`, () => server.pendingReads >= count, { limitMs: 20_000 });
}

/** Fills chunks that a read needs, when it is called. */
export function fillOnDemand(layer: PlainLayer, before: () => Promise<void> = async () => {}): LayerReader {
  return {
    async ensure(dataOffset, sizeBytes) {
      await before();
      const { chunkDataOffset, chunkSizeBytes, chunkCount } = layer.table;
      const chunks = Array.from({ length: chunkCount }, (_, chunk) => chunk);
      layer.fill(
        chunks.filter(
          (chunk) =>
            chunkDataOffset[chunk]! < dataOffset + sizeBytes &&
            chunkDataOffset[chunk]! + chunkSizeBytes[chunk]! > dataOffset,
        ),
      );
    },
  };
}

export function sampleTree(): string {
  const tree = join(root, `tree-${++count}`);
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  mkdirSync(join(tree, 'many'));
  copyFileSync('/bin/true', join(tree, 'usr/bin/true'));
  chmodSync(join(tree, 'usr/bin/true'), 0o4755);
  writeFileSync(join(tree, 'big'), pseudoRandomBytes(3 << 20, 1));
  writeFileSync(join(tree, 'empty'), '');
  for (let i = 0; i < 500; i++) writeFileSync(join(tree, 'many', `file-${i}`), `content ${i}`);
  symlinkSync('usr/bin', join(tree, 'bin'));
  return tree;
}

export const directoryEntry: Entry = { path: '', mode: 0o040755 };
