/**
 * The process of the link emulator, forked by link.ts: a TCP relay with a round-trip time and, per direction, a bandwidth
 * that all connections share. A separate process, so that its timers do not wait for the harness.
 *
 * Arguments: target host, target port, RTT in ms, bandwidth in Mbit/s (0: unlimited), the share of segments that are lost (empty: TCP
 * is not modelled, and a connection has the full bandwidth from its first byte). Without a host it is an HTTP proxy, for
 * servers that are reached by their own names with TLS. It exits when the IPC channel closes, so it cannot outlive the
 * harness.
 */
import { createServer, connect as dial, type Socket } from 'node:net';
import { seededRandom } from '../../measurements/stats/random.ts';
import type { LinkReply, LinkRequest } from './link.ts';
import { type Flow, Lane, type Sink } from './link-lane.ts';
import { LinkTracer } from './link-trace.ts';
import { readConnect } from './read-connect.ts';
import { RequestCounter } from './request-counter.ts';

const [targetHost = '', targetPort = '', rttText = '', bandwidthText = '', lossText = ''] = process.argv.slice(2);
const rttMs = Number(rttText);
const bandwidthMbps = Number(bandwidthText);
const now = () => performance.now();
/** From this process's clock to that of the machine: of several readings the one with the least time between its two. */
const monotonicOffsetMs = Math.max(...Array.from({ length: 5 }, () => Number(process.hrtime.bigint()) / 1e6 - now()));
const laneOptions = {
  delayMs: rttMs / 2,
  bytesPerMs: bandwidthMbps > 0 ? (bandwidthMbps * 1e6) / 8 / 1e3 : Number.POSITIVE_INFINITY,
  now,
};
const tcp = (seed: number) =>
  lossText === '' ? undefined : { lossShare: Number(lossText), random: seededRandom(seed) };
const up = new Lane({ ...laneOptions, tcp: tcp(1) });
const down = new Lane({ ...laneOptions, tcp: tcp(2) });
const socketOptions = { allowHalfOpen: true, highWaterMark: 1 << 18, noDelay: true };

let counters = new Set<RequestCounter>();
let requestsOfClosed = 0;
let opaqueSeen = false;
let connections = 0;
/** Of the start that is traced, if one is. */
let tracer: LinkTracer | undefined;

const server = createServer(socketOptions, (client) => {
  connections++;
  const acceptedAt = now();
  if (targetHost === '') {
    awaitTunnel(client, acceptedAt);
    return;
  }
  const upstream = dial({ host: targetHost, port: Number(targetPort), ...socketOptions });
  // A handshake takes one round trip before the client may send.
  relay(client, upstream, acceptedAt + rttMs);
});

function relay(client: Socket, upstream: Socket, opensAt: number): void {
  let request: ReturnType<LinkTracer['begin']> | undefined;
  const counter = new RequestCounter((head) => {
    request = tracer?.begin(head, now() + monotonicOffsetMs);
  });
  counters.add(counter);
  const upFlow = up.open(client, socketSink(upstream), opensAt);
  const downFlow = down.open(upstream, socketSink(client), opensAt);
  downFlow.onDeparture = (bytes, arrivesAt) => tracer?.arrive(request, bytes, arrivesAt + monotonicOffsetMs);
  client.on('data', (bytes) => counter.feed(bytes as Buffer));
  join(client, upFlow, downFlow);
  join(upstream, downFlow, upFlow);
  client.once('close', () => retire(counter));
}

/** A client waits for the answer to its CONNECT as it would for a handshake: it comes one round trip after the connection. */
function awaitTunnel(client: Socket, acceptedAt: number): void {
  readConnect(client, (target) => {
    const upstream = dial({ ...target, ...socketOptions });
    const refuse = () => void client.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n');
    upstream.once('error', refuse);
    client.once('close', () => upstream.destroy());
    upstream.once('connect', () => {
      upstream.off('error', refuse);
      const begin = () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        relay(client, upstream, now());
        client.resume();
      };
      setTimeout(begin, Math.max(0, acceptedAt + rttMs - now()));
    });
  });
}

/** Connects a socket to its two flows: it feeds `outgoing` and is the sink of `incoming`. */
function join(socket: Socket, outgoing: Flow, incoming: Flow): void {
  let ended = false;
  socket.on('data', (bytes) => outgoing.push(bytes as Buffer, now()));
  socket.on('end', () => {
    ended = true;
    outgoing.end(now());
  });
  socket.on('drain', () => incoming.drained());
  // 'close' follows and handles it.
  socket.on('error', () => {});
  socket.on('close', (hadError) => {
    incoming.close();
    if (hadError || !ended) outgoing.reset();
  });
}

function socketSink(socket: Socket): Sink {
  return {
    write: (bytes) => socket.write(bytes),
    cork: () => socket.cork(),
    uncork: () => socket.uncork(),
    end: () => void socket.end(),
    reset: () => void socket.resetAndDestroy(),
  };
}

function retire(counter: RequestCounter): void {
  if (!counters.delete(counter)) return;
  requestsOfClosed += counter.requests;
  opaqueSeen ||= counter.opaque;
}

function read(): LinkReply & { kind: 'counters' } {
  let requests = requestsOfClosed;
  let opaque = opaqueSeen;
  for (const counter of counters) {
    requests += counter.requests;
    opaque ||= counter.opaque;
  }
  const cpu = process.cpuUsage();
  return {
    kind: 'counters',
    counters: {
      bytes: down.bytes,
      bytesUp: up.bytes,
      requests: opaque ? undefined : requests,
      connections,
      cpuMs: (cpu.user + cpu.system) / 1000,
    },
  };
}

/** Open connections keep counting their later requests. */
function resetCounters(): void {
  down.bytes = 0;
  up.bytes = 0;
  connections = 0;
  requestsOfClosed = 0;
  opaqueSeen = false;
  for (const counter of counters) counter.requests = 0;
}

function reply(message: LinkReply & { id?: number }): void {
  process.send?.(message);
}

process.on('message', (request: LinkRequest) => {
  if (request.kind === 'reset') {
    resetCounters();
    tracer = request.isTraced ? new LinkTracer() : undefined;
  }
  const answer = read();
  const trace = request.kind === 'trace' ? tracer?.read(answer.counters.requests !== undefined) : undefined;
  if (trace !== undefined) tracer = undefined;
  reply({ ...answer, id: request.id, ...(trace === undefined ? {} : { trace }) });
});
process.on('disconnect', () => {
  counters = new Set();
  process.exit(0);
});
// Ctrl-C reaches the whole foreground process group, but the harness needs the link until it has cleaned up.
process.on('SIGINT', () => {});
server.on('error', (error) => {
  reply({ kind: 'failed', message: error.message });
  process.exit(1);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the link has no TCP address');
  reply({ kind: 'listening', port: address.port });
});
