import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type Lifetime, undoAfter } from './lifetime.ts';

const program = join(import.meta.dirname, 'descriptor-store.py');

/** A stand-in for systemd's descriptor store: holds descriptors of a service, and starts the service with them. */
export interface StandInStore {
  /** For startDaemon. */
  readonly startOptions: { readonly env: Record<string, string>; readonly launcher: readonly string[] };
  /** The names of the stored descriptors. */
  held(): Promise<string[]>;
}

/** `directory`: for its sockets. */
export async function openStandInStore(lifetime: Lifetime, directory: string): Promise<StandInStore> {
  const [notify, handOut] = [join(directory, 'notify'), join(directory, 'hand-out')];
  const server = spawn('python3', [program, 'serve', notify, handOut], { stdio: ['ignore', 'pipe', 'inherit'] });
  undoAfter(lifetime, () => server.kill('SIGKILL'));
  await once(server.stdout, 'data');
  return {
    startOptions: { env: { NOTIFY_SOCKET: notify }, launcher: ['python3', program, 'start', handOut] },
    async held() {
      // The kernel closes the descriptors that come with the names, because they are not received.
      return (await text(connect(handOut))).split('\n').filter((name) => name !== '');
    },
  };
}
