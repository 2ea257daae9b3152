import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { RegistryClient } from '../../snapshotter/registry/client.ts';
import { HarnessError, lastLines, messageOf } from '../cli/error.ts';
import { Containerd } from '../containerd/containerd.ts';
import { fillPlaceholders, type Peer } from '../daemon/peer.ts';
import { unmountUnder } from '../host/mounts.ts';
import { hasImage, type ImageName } from './variants.ts';
import { keyOf } from './key.ts';

export interface PreparationRequest {
  readonly peer: Peer;
  readonly source: ImageName;
  /** `host:port` of the registry itself. */
  readonly registry: string;
  /** Emptied before and after. */
  readonly directory: string;
  readonly client: RegistryClient;
  readonly onStep: (detail: string) => void;
}

const stepLimitMs = 900_000;

/** The image that a peer's commands make of `source`, made once for these commands; `source` itself if it has none. */
export async function ensurePrepared(request: PreparationRequest, signal: AbortSignal): Promise<ImageName> {
  const { peer, source, client, registry, onStep } = request;
  if (peer.prepare.length === 0) return source;
  const repository = source.slice(0, source.indexOf(':'));
  const target = `${repository}:${peer.name}-${keyOf([peer.prepare, source])}`;
  const isThere = () => hasImage(client, `${registry}/${target}`, signal);
  if (await isThere()) return target;
  onStep(`${repository}: prepare for ${peer.name}`);
  await prepare(request, target, signal);
  if (await isThere()) return target;
  throw new HarnessError('image-convert', `the commands of ${peer.name}.prepare have not pushed {target}, ${target}`, {
    remedy: 'correct them in the peers file',
  });
}

async function prepare(
  { peer, source, registry, directory }: PreparationRequest,
  target: ImageName,
  signal: AbortSignal,
): Promise<void> {
  await clear(directory);
  await mkdir(directory, { recursive: true });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => clear(directory));
  let containerd = '';
  if (JSON.stringify(peer.prepare).includes('{containerd}')) {
    const place = { directory: join(directory, 'containerd'), snapshotter: 'overlayfs', registryAddress: registry };
    const started = await Containerd.start(place, signal);
    stack.defer(async () => void (await started.stop()));
    containerd = started.address;
  }
  const values = { source: `${registry}/${source}`, target: `${registry}/${target}`, containerd, directory };
  for (const step of peer.prepare) {
    const [command = '', ...args] = fillPlaceholders(step, values);
    const options = { all: true, cancelSignal: signal, cwd: directory, timeout: stepLimitMs } as const;
    await execa(command, args, { ...options, stdin: 'ignore', env: peer.env }).catch((cause: unknown) => {
      signal.throwIfAborted();
      throw explain(peer, command, source, cause as { code?: string; all?: string });
    });
  }
}

function explain(peer: Peer, command: string, source: ImageName, cause: { code?: string; all?: string }): HarnessError {
  if (cause.code === 'ENOENT') {
    return new HarnessError(
      'missing-command',
      `cannot prepare images for ${peer.name}: there is no program ${command}`,
      {
        remedy: 'put it on PATH',
        cause,
      },
    );
  }
  const said = lastLines(cause.all ?? '') || messageOf(cause);
  return new HarnessError('image-convert', `preparing ${source} for ${peer.name}: ${command} failed: ${said}`, {
    cause,
  });
}

async function clear(directory: string): Promise<void> {
  await unmountUnder(directory);
  await rm(directory, { recursive: true, force: true });
}
