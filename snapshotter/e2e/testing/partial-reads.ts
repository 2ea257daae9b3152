import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { startContainerd } from '../../../testkit/containerd.ts';
import { startDaemon, type TestDaemon } from '../../../testkit/daemon.ts';
import { copyPrograms, writeInto } from '../../../testkit/images.ts';
import { type Kubelet, openKubelet } from '../../../testkit/kubelet.ts';
import type { Lifetime } from '../../../testkit/lifetime.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { pseudoRandomBytes } from '../../store/testing/blob.ts';

/** A program that reads parts of one large file, the later part first; counts are pages of `pageBytes`. */
export const pageBytes = 4096;
export const bigFile = pseudoRandomBytes(24_000_000, 4711);
export const readParts = [
  { skip: 4000, count: 64 },
  { skip: 1000, count: 200 },
] as const;
export const readBytes = readParts.reduce((sum, { count }) => sum + count * pageBytes, 0);

/** The layers of its image. */
export const partialReader = [copyPrograms(['/bin/sh', '/bin/dd', '/usr/bin/cksum']), writeInto('data/big', bigFile)];

export interface Node {
  readonly daemon: TestDaemon;
  readonly kubelet: Kubelet;
}

/** A daemon with these lines in its config.toml, without background fill, and its containerd. */
export async function startNode(
  lifetime: Lifetime,
  name: string,
  { backend, config, pauseImage }: { readonly backend: string; readonly config: string; readonly pauseImage: string },
): Promise<Node> {
  const directory = openScratch(lifetime, name);
  const daemon = await startDaemon(lifetime, directory, {
    config:
      `no_background_fetch = true\n${config}\n[mount]\nbackend = "${backend}"\n[cri_keychain]\nenable_keychain = true\n` +
      `image_service_path = "${join(directory, 'c/containerd.sock')}"\n`,
    logLevel: 'trace',
  });
  const containerd = await startContainerd(lifetime, join(directory, 'c'), {
    snapshotter: 'stargz',
    snapshotterAddress: daemon.address,
    pauseImage,
  });
  return { daemon, kubelet: openKubelet(lifetime, directory, containerd.address, daemon.address) };
}

/** Runs the program and compares what it has read. */
export async function runPartialReader({ daemon, kubelet }: Node, image: string): Promise<void> {
  const reads = readParts.map(
    ({ skip, count }) =>
      `/bin/dd if=/data/big bs=${pageBytes} skip=${skip} count=${count} 2>/dev/null | /usr/bin/cksum`,
  );
  const expected = readParts.map(({ skip, count }) => {
    const input = bigFile.subarray(skip * pageBytes, (skip + count) * pageBytes);
    return execFileSync('cksum', { input, encoding: 'utf8' }).trim();
  });
  const { exitCode, output } = await kubelet.run(image, ['/bin/sh', '-c', reads.join('; ')]);
  assert.deepEqual([exitCode, output.trimEnd().split('\n')], [0, expected], daemon.log());
}

export interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

export function linesOf(daemon: TestDaemon): LogLine[] {
  const lines = daemon.log().split('\n');
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine);
}

/** A transfer of bytes [first, last] of a layer's blob. */
export interface Fetch {
  readonly layer: string;
  readonly path: string;
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

export function fetchesOf(daemon: TestDaemon): Fetch[] {
  const fetched = linesOf(daemon).filter(({ msg }) => msg === 'content fetched');
  return fetched.map(({ layer, path, bytes, range }) => {
    const [first, last] = (range as string).split('-').map(Number);
    return { layer: layer as string, path: path as string, bytes: bytes as number, first: first!, last: last! };
  });
}
