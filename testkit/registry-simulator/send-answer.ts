import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Answer } from './exchange.ts';

/** Writes a response; resolves when nothing more will be sent. */
export async function sendAnswer(request: IncomingMessage, response: ServerResponse, answer: Answer): Promise<void> {
  if (answer.raw !== undefined) {
    request.socket.end(answer.raw);
    return;
  }
  const headers = { ...answer.headers };
  if (answer.endsWithConnection === true) {
    delete headers['content-length'];
    headers.connection = 'close';
    response.shouldKeepAlive = false;
    response.useChunkedEncodingByDefault = false;
  }
  response.writeHead(answer.status, headers);
  if (answer.body === undefined) {
    response.end();
    return;
  }
  const limitBytes = answer.cutAfterBytes ?? answer.stallAfterBytes ?? Number.POSITIVE_INFINITY;
  let sentBytes = 0;
  response.flushHeaders();
  for await (const piece of answer.body) {
    if (answer.pieceDelayMs !== undefined) await delay(answer.pieceDelayMs);
    if (response.destroyed) return;
    const part = piece.subarray(0, Math.max(0, Math.floor(limitBytes) - sentBytes));
    sentBytes += part.length;
    if (part.length > 0 && !response.write(part)) await drained(response);
    if (sentBytes >= Math.floor(limitBytes)) break;
  }
  if (answer.stallAfterBytes !== undefined) return;
  if (answer.cutAfterBytes !== undefined) {
    // Pending bytes are sent before the connection ends.
    response.write('', () => response.destroy());
    return;
  }
  const promised = Number(headers['content-length'] ?? Number.NaN);
  if (sentBytes < promised) response.write('', () => response.destroy());
  else response.end();
}

/** Resolves on drain, or when the connection is closed. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.once('drain', done);
    response.once('close', done);
  });
}
