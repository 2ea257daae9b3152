import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Lifetime, undoAfter } from './lifetime.ts';

const program = join(import.meta.dirname, 'notify-socket.py');

/**
 * systemd's end of NOTIFY_SOCKET. The function it returns resolves with the first `count` states that come, each with
 * ` and serving` if the socket `served` could be connected to by then. Messages about descriptors are left to descriptor-store.ts.
 */
export async function openNotifySocket(lifetime: Lifetime, path: string, count: number, served = '') {
  const receiver = spawn('python3', [program, path, String(count), served], { stdio: ['ignore', 'pipe', 'inherit'] });
  undoAfter(lifetime, () => receiver.kill());
  let text = '';
  receiver.stdout.setEncoding('utf8').on('data', (part) => (text += part));
  await once(receiver.stdout, 'data');
  const ended = once(receiver, 'close');
  return async (): Promise<string[]> => {
    await ended;
    return text.trimEnd().split('\n').slice(1);
  };
}
