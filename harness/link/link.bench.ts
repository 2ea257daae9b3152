/**
 * Accuracy of the link emulator: `node harness/link/link.bench.ts` prints requested and achieved round trip and
 * bandwidth, and the CPU time of the relay. Not a test, since it measures time.
 */
import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import { median, sortSamples } from '../../measurements/stats/median.ts';
import { startLink } from './link.ts';

const rtts = [0, 10, 30, 100];
const bandwidths = [50, 200, 1000, undefined];
const connectionCount = 4;
const piece = Buffer.alloc(1 << 16, 7);

/** Answers each line `N\n` with N bytes. */
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => {});
  socket.on('data', async (line) => {
    let left = Number(String(line));
    while (left > 0 && !socket.destroyed) {
      const more = socket.write(left < piece.length ? piece.subarray(0, left) : piece);
      left -= piece.length;
      if (!more) await once(socket, 'drain').catch(() => {});
    }
  });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as { port: number };

console.log('asked RTT  asked rate   new conn.   RTT p50   RTT p95   achieved, 1 conn.   4 conns.   relay CPU/GB');
for (const bandwidthMbps of bandwidths) {
  for (const rttMs of rtts) {
    const link = await startLink({ target: `127.0.0.1:${port}`, rttMs, bandwidthMbps });
    try {
      const linkPort = Number(link.address.split(':')[1]);
      const openMs: number[] = [];
      const roundMs: number[] = [];
      for (let attempt = 0; attempt < 7; attempt++) {
        const startedAt = performance.now();
        const socket = dial({ host: '127.0.0.1', port: linkPort, noDelay: true });
        await fetchBytes(socket, 1);
        openMs.push(performance.now() - startedAt);
        for (let round = 0; round < 5; round++) {
          const askedAt = performance.now();
          await fetchBytes(socket, 1);
          roundMs.push(performance.now() - askedAt);
        }
        socket.destroy();
      }
      const sizeBytes = Math.round(((bandwidthMbps ?? 4000) * 1e6) / 8 / 2);
      const one = await transfer(linkPort, sizeBytes, 1, rttMs);
      const before = (await link.counters()).cpuMs;
      const four = await transfer(linkPort, sizeBytes, connectionCount, rttMs);
      const cpuMs = (await link.counters()).cpuMs - before;
      const sorted = sortSamples(roundMs)!;
      const cells = [
        `${rttMs} ms`.padStart(9),
        (bandwidthMbps === undefined ? 'unlimited' : `${bandwidthMbps} Mbit/s`).padStart(12),
        `${median(sortSamples(openMs)!).toFixed(1)} ms`.padStart(11),
        `${median(sorted).toFixed(1)} ms`.padStart(9),
        `${sorted[Math.floor(sorted.length * 0.95)]!.toFixed(1)} ms`.padStart(9),
        `${one.toFixed(1)} Mbit/s`.padStart(19),
        four.toFixed(1).padStart(10),
        `${((cpuMs / 1e3 / sizeBytes) * 1e9).toFixed(2)} s`.padStart(14),
      ];
      console.log(cells.join(' '));
    } finally {
      await link.close();
    }
  }
}
server.close();

/** Achieved Mbit/s, without the round trip of the request. */
async function transfer(port: number, sizeBytes: number, connections: number, rttMs: number): Promise<number> {
  const sockets = Array.from({ length: connections }, () => dial({ host: '127.0.0.1', port, noDelay: true }));
  await Promise.all(sockets.map((socket) => fetchBytes(socket, 1)));
  const startedAt = performance.now();
  await Promise.all(sockets.map((socket) => fetchBytes(socket, Math.floor(sizeBytes / connections))));
  const elapsedMs = performance.now() - startedAt - rttMs;
  for (const socket of sockets) socket.destroy();
  return (sizeBytes * 8) / 1e3 / elapsedMs;
}

function fetchBytes(socket: Socket, sizeBytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = 0;
    const take = (bytes: Buffer) => {
      received += bytes.length;
      if (received < sizeBytes) return;
      socket.off('data', take);
      resolve();
    };
    socket.on('data', take);
    socket.once('error', reject);
    socket.write(`${sizeBytes}\n`);
  });
}
