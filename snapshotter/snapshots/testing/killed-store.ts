/** `killed-store.ts ROOT COUNT` prepares snapshots key-0 to key-COUNT-1 with long labels, and kills itself. */
import { SnapshotStore } from '../store.ts';

const [root, count] = process.argv.slice(2) as [string, string];
const store = new SnapshotStore({ root });
for (let at = 0; at < Number(count); at++) store.prepare(`key-${at}`, '', { label: 'x'.repeat(3000) });
process.kill(process.pid, 'SIGKILL');
