/**
 * Two ends of a transfer, for comparing links. The server answers a line with a number with that many bytes; the client prints, as JSON,
 * how many milliseconds each took on a connection of its own, from its start to the last byte.
 *
 *     node harness/link/testing/transfer.ts server HOST                  says its port
 *     node harness/link/testing/transfer.ts client HOST PORT SIZE...
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';

const [role, host = '', port = '', ...sizes] = process.argv.slice(2);
if (role === 'server') {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (line) => socket.write(Buffer.alloc(Number(line))));
  });
  server.listen(0, host, () => console.log((server.address() as AddressInfo).port));
} else {
  const durations: number[] = [];
  for (const size of sizes) durations.push(await fetchBytes(Number(size)));
  console.log(JSON.stringify(durations));
}

async function fetchBytes(sizeBytes: number): Promise<number> {
  const start = performance.now();
  const socket = connect({ host, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  socket.write(`${sizeBytes}\n`);
  let received = 0;
  for await (const bytes of socket) {
    received += (bytes as Buffer).length;
    if (received >= sizeBytes) break;
  }
  return performance.now() - start;
}
