import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';

const program = `
import socket, sys
_, path, count, served = sys.argv
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(path.replace("@", "\\0"))
print("bound", flush=True)
count = int(count)
while count > 0:
    word = s.recv(100).decode()
    if word.startswith("FDSTORE"): continue
    count -= 1
    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(served)
        word += " and serving"
    except OSError: pass
    print(word, flush=True)`;

/**
 * systemd's end of NOTIFY_SOCKET. Resolves with the first `count` states that come, and for each whether the socket `served`
 * could be connected to by then. What is said of descriptors is for descriptor-store.ts.
 */
export async function openNotifySocket(t: TestContext, path: string, count: number, served = '') {
  const receiver = spawn('python3', ['-c', program, path, String(count), served], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => receiver.kill());
  let text = '';
  receiver.stdout.setEncoding('utf8').on('data', (part) => (text += part));
  await once(receiver.stdout, 'data');
  const ended = once(receiver, 'close');
  return async (): Promise<string[]> => {
    await ended;
    return text.trimEnd().split('\n').slice(1);
  };
}
