import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RegistryClient } from './client.ts';
import { digestOf } from './digest.ts';
import { parseReference } from './reference.ts';

const answer = Buffer.from('warm');
const limitMs = 5000;

/**
 * Sends one range request to a local server. The first request of a process takes some 15 ms longer, for compiling the
 * parser and loading code; this moves that cost before the first pull. Never rejects.
 */
export async function warmUp(client: RegistryClient): Promise<void> {
  const server = createServer((_request, response) => {
    response.writeHead(206, {
      'content-range': `bytes 0-${answer.length - 1}/${answer.length}`,
      'content-length': answer.length,
      connection: 'close',
    });
    response.end(answer);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const { port } = server.address() as AddressInfo;
    const blob = client.blob(parseReference(`127.0.0.1:${port}/warm-up:1`), digestOf(answer));
    await blob.fetchSuffix(answer.length, AbortSignal.timeout(limitMs));
  } catch {
    // Only an optimisation.
  } finally {
    server.close();
    server.closeAllConnections();
  }
}
