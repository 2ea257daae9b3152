import { once } from 'node:events';
import { type Lifetime, undoAfter } from './lifetime.ts';
import type { TestProcess } from './process.ts';
import { until } from './until.ts';

/** For the environment of a process whose garbage is to be collected. */
export const collectable = { NODE_OPTIONS: '--inspect-port=0' };

export interface GarbageCollector {
  /** What the process still refers to when nothing else is left, buffers included; of its main thread. */
  collect(): Promise<number>;
}

/** Through the inspector, which SIGUSR1 opens. A process does not exit while its inspector has a client. */
export async function openGarbageCollector(lifetime: Lifetime, daemon: TestProcess): Promise<GarbageCollector> {
  const written = daemon.log().length;
  process.kill(daemon.pid, 'SIGUSR1');
  const announced = () => /^Debugger listening on (ws:\S+)$/m.exec(daemon.log().slice(written))?.[1];
  const url = await until("the address of the daemon's inspector", announced, { limitMs: 10_000 });
  const socket = new WebSocket(url);
  undoAfter(lifetime, () => socket.close());
  await once(socket, 'open');
  let last = 0;
  const answered = new Map<number, (result: Record<string, number>) => void>();
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id?: number; result: Record<string, number> };
    if (id !== undefined) answered.get(id)?.(result);
  });
  const call = (method: string): Promise<Record<string, number>> =>
    new Promise((resolve) => {
      answered.set(++last, resolve);
      socket.send(JSON.stringify({ id: last, method }));
    });
  return {
    async collect() {
      await call('HeapProfiler.collectGarbage');
      const { usedSize, backingStorageSize } = await call('Runtime.getHeapUsage');
      return usedSize! + backingStorageSize!;
    },
  };
}
