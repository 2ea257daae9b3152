import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestProcess } from '../service/testing/process.ts';

/** For the environment of a process whose garbage is to be collected. */
export const collectable = { NODE_OPTIONS: '--inspect-port=0' };

export interface GarbageCollector {
  /** What the process still refers to when nothing else is left, buffers included; of its main thread. */
  collect(): Promise<number>;
  close(): void;
}

/** Speaks to a process of Node's by its inspector, which a SIGUSR1 opens. Close it first: the process would wait for that. */
export async function openGarbageCollector(daemon: TestProcess): Promise<GarbageCollector> {
  const written = daemon.log().length;
  process.kill(daemon.pid, 'SIGUSR1');
  let url: string | undefined;
  while (url === undefined) {
    await delay(20);
    url = /^Debugger listening on (ws:\S+)$/m.exec(daemon.log().slice(written))?.[1];
  }
  const socket = new WebSocket(url);
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
    close: () => socket.close(),
  };
}
