import { type CellRoom, clearRoom, startCell } from '../cell-room.ts';
import { HarnessError } from '../error.ts';
import { dropCaches } from '../host/caches.ts';
import type { Mode } from '../modes/mode.ts';
import type { Link } from '../registry/link.ts';

export interface PullSample {
  readonly layers: number;
  readonly pullMs: number;
  readonly wireRequests: number | undefined;
  readonly wireBytes: number;
  readonly daemonCpuMs: number | undefined;
  readonly daemonRssPeakKib: number | undefined;
}

/** The pull phase alone, cold, in a room of its own. Throws HarnessError 'not-lazy' where a layer was downloaded. */
export async function measurePull(
  room: CellRoom,
  link: Link,
  image: string,
  { snapshotter, daemonConfig }: Mode,
  signal: AbortSignal,
): Promise<PullSample> {
  await clearRoom(room);
  await dropCaches(signal);
  const running = await startCell(room, { snapshotter, daemonConfig, registryAddress: link.address }, signal);
  try {
    await link.reset();
    const startedMs = performance.now();
    await running.containerd.pull(`${link.address}/${image}`, signal);
    const pullMs = performance.now() - startedMs;
    const [wire, cost] = await Promise.all([link.counters(), running.daemon?.cost()]);
    const pulled = await running.containerd.readImage(`${link.address}/${image}`, signal);
    const { downloaded } = await running.containerd.prove(pulled, signal);
    if (downloaded.length > 0) throw new HarnessError('not-lazy', `${image}: ${downloaded.join(', ')}`);
    return {
      layers: pulled.layers.length,
      pullMs,
      wireRequests: wire.requests,
      wireBytes: wire.bytes,
      daemonCpuMs: cost?.cpuMs,
      daemonRssPeakKib: cost?.rssPeakKib,
    };
  } finally {
    await running.stop();
    await clearRoom(room);
  }
}
