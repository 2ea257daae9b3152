import type { Socket } from 'node:net';

const maxHeadBytes = 16_384;

/**
 * Reads the head of a CONNECT (RFC 9110, 9.3.6) and leaves the socket paused behind it; answers anything else with an error.
 * Clients send nothing more before they are answered.
 */
export function readConnect(socket: Socket, onTarget: (target: { host: string; port: number }) => void): void {
  let head = '';
  const onError = (): void => {};
  socket.on('error', onError);
  const onData = (bytes: Buffer): void => {
    head += bytes.toString('latin1');
    const isWhole = head.includes('\r\n\r\n');
    if (!isWhole && head.length < maxHeadBytes) return;
    socket.off('data', onData);
    socket.pause();
    const match = /^CONNECT (?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5}) HTTP\/1\.[01]\r\n/.exec(head);
    if (isWhole && match !== null) onTarget({ host: match[1] ?? match[2]!, port: Number(match[3]) });
    else socket.end('HTTP/1.1 405 Method Not Allowed\r\nallow: CONNECT\r\ncontent-length: 0\r\n\r\n');
  };
  socket.on('data', onData);
}
