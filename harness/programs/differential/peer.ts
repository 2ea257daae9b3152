import { ExecaError, execa } from 'execa';
import type { Containerd } from '../../containerd/containerd.ts';
import { type RegistryImage, readImage } from './image.ts';
import type { MemoryRegistry } from './memory-registry.ts';

const limitMs = 60_000;

/** The image as ctr-remote, of containerd/stargz-snapshotter, makes eStargz of it. Undefined where it refuses. */
export async function convertByPeer(
  containerd: Containerd,
  registry: MemoryRegistry,
  source: RegistryImage,
  signal: AbortSignal,
): Promise<RegistryImage | undefined> {
  const { repository } = source;
  const tag = 'ctr-remote';
  const target = `${registry.address}/${repository}:${tag}`;
  const run = (program: string, ...args: string[]) =>
    execa(program, ['--address', containerd.address, '--namespace', 'peer', ...args], {
      cancelSignal: signal,
      timeout: limitMs,
    });
  await run('ctr', 'content', 'fetch', '--plain-http', source.reference);
  try {
    await run('ctr-remote', 'images', 'convert', '--estargz', '--oci', source.reference, target);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ExecaError && error.exitCode === 1) return undefined;
    throw error;
  }
  await run('ctr', 'images', 'push', '--plain-http', target);
  return readImage(registry, repository, tag);
}
