import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HarnessError } from '../../cli/error.ts';

/** Lets the operating system choose the port on which a process of Node.js opens its inspector. */
export const inspectable = { NODE_OPTIONS: '--inspect-port=0' };

const openLimitMs = 10_000;

export interface Inspector extends Disposable {
  /** Collects garbage; returns the bytes in use after it by the JavaScript heap of the main thread and its buffers. */
  collectGarbage(): Promise<number>;
}

/**
 * Opens the inspector of a process that was started with `inspectable`, by SIGUSR1. The process does not exit while the
 * inspector has a client.
 */
export async function openInspector(pid: number, logPath: string, signal: AbortSignal): Promise<Inspector> {
  process.kill(pid, 'SIGUSR1');
  const socket = new WebSocket(await readUrl(logPath, signal));
  await once(socket, 'open', { signal });
  const answers = new Map<number, PromiseWithResolvers<Record<string, number>>>();
  let lastId = 0;
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id?: number; result: Record<string, number> };
    if (id !== undefined) answers.get(id)?.resolve(result);
  });
  socket.addEventListener('close', () => {
    for (const { reject } of answers.values()) reject(new HarnessError('stopped', 'the inspector was closed'));
  });
  const call = (method: string): Promise<Record<string, number>> => {
    const answer = Promise.withResolvers<Record<string, number>>();
    answers.set(++lastId, answer);
    socket.send(JSON.stringify({ id: lastId, method }));
    return answer.promise;
  };
  return {
    async collectGarbage() {
      await call('HeapProfiler.collectGarbage');
      const { usedSize, backingStorageSize } = await call('Runtime.getHeapUsage');
      return usedSize! + backingStorageSize!;
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

/** Node.js announces the URL on standard error. */
async function readUrl(logPath: string, signal: AbortSignal): Promise<string> {
  const endMs = performance.now() + openLimitMs;
  for (;;) {
    const url = /^Debugger listening on (ws:\S+)$/m.exec(await readFile(logPath, 'utf8'))?.[1];
    if (url !== undefined) return url;
    if (performance.now() > endMs) {
      throw new HarnessError('timeout', `no inspector within ${openLimitMs / 1000} s`, { remedy: `see ${logPath}` });
    }
    await sleep(20, undefined, { signal });
  }
}
