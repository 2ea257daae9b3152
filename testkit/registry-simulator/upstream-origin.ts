import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import type { Answer, SimulatedRequest } from './exchange.ts';
import type { Origin } from './memory-origin.ts';

/** Forwards to a real registry at `host:port`, plain HTTP. */
export function upstreamOrigin(upstream: string): Origin {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const [host, port] = upstream.split(':');
  return {
    close: () => agent.destroy(),
    answer(request) {
      const path = new URL(request.url);
      // The simulator's signature and a mirror's `ns`; the state of an upload is kept.
      for (const name of ['ns', 'Expires', 'until', 'Signature']) path.searchParams.delete(name);
      const { authorization: _kept, ...headers } = request.headers;
      if (request.url.protocol === 'https:') headers['x-forwarded-proto'] = 'https';
      return new Promise<Answer>((resolve, reject) => {
        const onward = httpRequest(
          { host, port, agent, method: request.method, path: path.pathname + path.search, headers },
          (answer) => resolve(toAnswer(answer, request)),
        );
        onward.on('error', reject);
        if (request.method === 'GET' || request.method === 'HEAD') onward.end();
        else pipeline(Readable.from(request.body, { objectMode: false }), onward, () => {});
      });
    },
  };
}

function toAnswer(answer: IncomingMessage, { method }: SimulatedRequest): Answer {
  const headers = { ...answer.headers };
  delete headers.connection;
  delete headers['keep-alive'];
  const status = answer.statusCode ?? 502;
  if (method !== 'HEAD') return { status, headers, body: answer, release: () => void answer.destroy() };
  answer.resume();
  return { status, headers };
}
