import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { nodeOptions } from '../../../snapshotter/process/node-options.ts';
import { unmountUnder } from '../../host/mounts.ts';

/** The cost of mounting one layer, as snapshotter/bench/measure-mount.ts prints it. */
export interface LargeMount {
  readonly face: string;
  readonly entries: number;
  readonly tocBytes: number;
  readonly mountMs: number;
  readonly cpuMs: number;
  readonly peakGrowthBytes: number;
  /** Entries of the mounted root. */
  readonly names: readonly string[];
}

const script = fileURLToPath(new URL('../../../snapshotter/bench/measure-mount.ts', import.meta.url));
const limitMs = 120_000;

/** Writes the TOC of a layer with `entryCount` entries to `path`. */
export async function makeToc(entryCount: number, path: string, signal: AbortSignal): Promise<void> {
  await execa(process.execPath, [script, 'make', String(entryCount), path], { cancelSignal: signal, timeout: limitMs });
}

/** Mounts the layer in a process of its own, and leaves nothing below `scratch`. */
export async function mountLarge(face: string, toc: string, scratch: string, signal: AbortSignal): Promise<LargeMount> {
  const directory = await mkdtemp(join(scratch, 'mount-'));
  try {
    const { stdout } = await execa(process.execPath, [...nodeOptions, script, 'mount', face, toc, directory], {
      cancelSignal: signal,
      timeout: limitMs,
    });
    return JSON.parse(stdout) as LargeMount;
  } finally {
    await unmountUnder(directory);
    await rm(directory, { recursive: true, force: true });
  }
}
