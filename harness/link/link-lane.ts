import type { Random } from '../../measurements/stats/random.ts';
import { CongestionWindow, segmentBytes } from './congestion-window.ts';

/**
 * One direction of the emulated link: a serial line of a fixed rate followed by a fixed delay.
 *
 * Flows (one per connection) queue what they read. The line takes a quantum from each in turn, so that connections share
 * the rate fairly and a small request never waits for a whole blob. A quantum departs when its last bit has left the line
 * and arrives `delayMs` later. Departures are computed from the line's clock rather than from when a timer fired, so a late
 * timer adds latency once but costs no throughput. Arrivals are in order of departure: one queue, one timer, and the
 * bytes of a connection cannot be reordered.
 */
export interface LaneOptions {
  /** Propagation delay: half the round trip. */
  readonly delayMs: number;
  /** Infinity: no limit. */
  readonly bytesPerMs: number;
  readonly now: () => number;
  /** TCP of each flow. Undefined: a flow may use the whole rate from its first byte. */
  readonly tcp?: LaneTcp | undefined;
}

export interface LaneTcp {
  /** The chance that a segment is lost, 0 to 1. */
  readonly lossShare: number;
  readonly random: Random;
}

/** The end of a flow that the line writes to. */
export interface Sink {
  write(bytes: Buffer): boolean;
  cork(): void;
  uncork(): void;
  /** An orderly end, after everything before it was written. */
  end(): void;
  reset(): void;
}

export interface Source {
  pause(): void;
  resume(): void;
}

interface Arrival {
  readonly flow: Flow;
  readonly at: number;
  readonly item: Buffer | 'end' | 'reset';
  /** More of the same flow was queued behind it, so its receiver does not wait for this piece alone. */
  readonly bulk: boolean;
}

/** Timers fire on whole milliseconds: what is due within half a millisecond is handled now, so that the mean error is zero. */
const toleranceMs = 0.5;

const never = Number.POSITIVE_INFINITY;

/** A bulk piece may arrive this late, which saves two of three wake-ups. The last piece of a response is never delayed. */
const bulkSlackMs = 3;

export class Lane {
  /** Payload bytes put on the line since `resetCounters`. */
  bytes = 0;
  readonly #options: LaneOptions;
  readonly #quantumBytes: number;
  readonly #flowBufferBytes: number;
  /** Round robin of the flows with something to send. */
  #ready: Flow[] = [];
  /** Flows whose handshake is not complete, in order of `opensAt`. */
  #opening: Flow[] = [];
  /** Flows whose window is full, which go on with their next acknowledgement. */
  #waiting: Flow[] = [];
  #inFlight: Arrival[] = [];
  #inFlightHead = 0;
  #lineFreeAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = never;

  constructor(options: LaneOptions) {
    this.#options = options;
    const { bytesPerMs } = options;
    this.#quantumBytes = Math.min(65_536, Math.max(4_096, Math.floor(bytesPerMs)));
    // Large enough to keep the line busy while a timer is 10 ms late, small enough to apply back-pressure early.
    this.#flowBufferBytes = Number.isFinite(bytesPerMs) ? Math.max(65_536, Math.ceil(bytesPerMs * 10)) : 1 << 20;
  }

  /** Opens a flow over this lane. Nothing departs before `opensAt`. */
  open(source: Source, sink: Sink, opensAt: number): Flow {
    const { tcp, delayMs } = this.#options;
    const window = tcp === undefined ? undefined : new CongestionWindow(2 * delayMs);
    return new Flow(this, source, sink, { opensAt, bufferBytes: this.#flowBufferBytes, window });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#ready = [];
    this.#opening = [];
    this.#waiting = [];
    this.#inFlight = [];
    this.#inFlightHead = 0;
  }

  /** @internal A flow has something to send. */
  offer(flow: Flow): void {
    if (flow.listed) return;
    flow.listed = true;
    if (flow.opensAt > this.#options.now()) {
      this.#opening.push(flow);
      this.#opening.sort((one, other) => one.opensAt - other.opensAt);
    } else this.#ready.push(flow);
    this.#advance();
  }

  /** @internal A reset overtakes the queue of its flow, but still takes `delayMs`. */
  propagateReset(flow: Flow): void {
    this.#inFlight.push({ flow, at: this.#options.now() + this.#options.delayMs, item: 'reset', bulk: false });
    this.#advance();
  }

  #advance(): void {
    const now = this.#options.now();
    while (this.#opening.length > 0 && this.#opening[0]!.opensAt <= now + toleranceMs) {
      this.#ready.push(this.#opening.shift()!);
    }
    if (this.#waiting.length > 0) this.#wake(now);
    this.#depart(now);
    this.#arrive(now);
    this.#arm(now);
  }

  #depart(now: number): void {
    const { bytesPerMs, delayMs } = this.#options;
    while (this.#ready.length > 0 && this.#lineFreeAt <= now + toleranceMs) {
      const flow = this.#ready.shift()!;
      const roomBytes = flow.window?.roomBytes(now) ?? this.#quantumBytes;
      if (roomBytes === 0) {
        this.#waiting.push(flow);
        continue;
      }
      const taken = flow.take(Math.min(this.#quantumBytes, roomBytes));
      if (taken === undefined) {
        flow.listed = false;
        continue;
      }
      const startsAt = Math.max(this.#lineFreeAt, taken.readAt, flow.opensAt, flow.window?.openedAt ?? 0);
      if (taken.item !== 'end') {
        this.#lineFreeAt = startsAt + taken.item.length / bytesPerMs;
        this.bytes += taken.item.length;
      }
      const at = Math.max(startsAt, this.#lineFreeAt) + delayMs;
      // The last piece that a window admits is waited for as the last of a response is.
      const bulk = flow.hasMore && taken.item.length < roomBytes;
      const arrival = { flow, at, item: taken.item, bulk };
      if (flow.window === undefined) this.#inFlight.push(arrival);
      else this.#sendByTcp(arrival, flow.window, startsAt);
      if (taken.item !== 'end')
        flow.onDeparture?.(taken.item.length, flow.window === undefined ? at : flow.lastArrivalAt);
      this.#ready.push(flow);
    }
  }

  /** What is lost is sent again after a round trip, or two where nothing follows that would show the gap; what follows waits for it. */
  #sendByTcp(arrival: Arrival, window: CongestionWindow, startsAt: number): void {
    const { flow, item, bulk } = arrival;
    let { at } = arrival;
    if (item instanceof Buffer) {
      if (this.#isLost(item.length)) {
        at += (bulk ? 2 : 4) * this.#options.delayMs;
        window.lose(startsAt);
      }
      at = Math.max(at, flow.lastArrivalAt);
      window.depart(item.length, startsAt, at);
    } else at = Math.max(at, flow.lastArrivalAt);
    flow.lastArrivalAt = at;
    this.#inFlight.push({ ...arrival, at });
    // Pieces of other flows overtake one that had to be sent again.
    for (let index = this.#inFlight.length - 1; index > this.#inFlightHead; index--) {
      const before = this.#inFlight[index - 1]!;
      if (before.at <= at) break;
      [this.#inFlight[index - 1], this.#inFlight[index]] = [this.#inFlight[index]!, before];
    }
  }

  #isLost(sizeBytes: number): boolean {
    const { lossShare = 0, random } = this.#options.tcp ?? {};
    if (lossShare === 0 || random === undefined) return false;
    return random() / 2 ** 32 < 1 - (1 - lossShare) ** Math.ceil(sizeBytes / segmentBytes);
  }

  #wake(now: number): void {
    const isDue = (flow: Flow) => (flow.window?.nextAcknowledgementAt() ?? 0) <= now + toleranceMs;
    const due = this.#waiting.filter(isDue);
    if (due.length === 0) return;
    this.#waiting = this.#waiting.filter((flow) => !due.includes(flow));
    this.#ready.push(...due);
  }

  #arrive(now: number): void {
    const corked: Flow[] = [];
    while (this.#inFlightHead < this.#inFlight.length) {
      const arrival = this.#inFlight[this.#inFlightHead]!;
      if (arrival.at > now + toleranceMs) break;
      this.#inFlightHead++;
      if (arrival.flow.deliver(arrival.item)) corked.push(arrival.flow);
    }
    for (const flow of corked) flow.flush();
    if (this.#inFlightHead > 1024 || this.#inFlightHead === this.#inFlight.length) {
      this.#inFlight = this.#inFlight.slice(this.#inFlightHead);
      this.#inFlightHead = 0;
    }
  }

  #arm(now: number): void {
    const opensAt = this.#opening[0]?.opensAt ?? never;
    const next = Math.min(this.#nextDeparture(), opensAt, this.#nextArrival(), this.#nextAcknowledgement());
    if (next === never || (this.#timer !== undefined && this.#timerAt <= next)) return;
    clearTimeout(this.#timer);
    this.#timerAt = next;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#advance();
      },
      Math.max(1, Math.floor(next - now)),
    );
  }

  /** A departure may be computed late, as long as the delay is longer: it still arrives on time. */
  #nextDeparture(): number {
    if (this.#ready.length === 0) return never;
    return this.#lineFreeAt + (this.#options.delayMs > bulkSlackMs + 1 ? bulkSlackMs : 0);
  }

  #nextAcknowledgement(): number {
    return this.#waiting.reduce((next, { window }) => Math.min(next, window?.nextAcknowledgementAt() ?? never), never);
  }

  #nextArrival(): number {
    let next = never;
    for (let index = this.#inFlightHead; index < this.#inFlight.length; index++) {
      const { at, bulk } = this.#inFlight[index]!;
      if (at >= next) break;
      next = Math.min(next, bulk ? at + bulkSlackMs : at);
    }
    return next;
  }
}

interface FlowOptions {
  readonly opensAt: number;
  readonly bufferBytes: number;
  readonly window: CongestionWindow | undefined;
}

/** One connection's bytes in one direction: queued, on the line, in flight, written. */
export class Flow {
  readonly opensAt: number;
  /** @internal Undefined: it is never full. */
  readonly window: CongestionWindow | undefined;
  /** @internal In one of the lane's lists. */
  listed = false;
  /** @internal Of the piece that arrives last. */
  lastArrivalAt = 0;
  /** Told of each piece that is put on the line, and when it will arrive. */
  onDeparture: ((bytes: number, arrivesAt: number) => void) | undefined;
  readonly #lane: Lane;
  readonly #source: Source;
  readonly #sink: Sink;
  readonly #bufferBytes: number;
  #queue: { bytes: Buffer; readAt: number }[] = [];
  #queuedBytes = 0;
  #endedAt: number | undefined;
  #endTaken = false;
  #paused = false;
  /** The sink applies back-pressure: the rest stays in the queue, as behind a closed TCP window. */
  #blocked = false;
  #corked = false;
  #closed = false;

  constructor(lane: Lane, source: Source, sink: Sink, { opensAt, bufferBytes, window }: FlowOptions) {
    this.window = window;
    this.#lane = lane;
    this.#source = source;
    this.#sink = sink;
    this.opensAt = opensAt;
    this.#bufferBytes = bufferBytes;
  }

  push(bytes: Buffer, readAt: number): void {
    if (this.#closed) return;
    this.#queue.push({ bytes, readAt });
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > this.#bufferBytes && !this.#paused) {
      this.#paused = true;
      this.#source.pause();
    }
    if (!this.#blocked) this.#lane.offer(this);
  }

  end(readAt: number): void {
    if (this.#closed) return;
    this.#endedAt = readAt;
    if (!this.#blocked) this.#lane.offer(this);
  }

  /** The source was reset: drops what has not departed, and resets the sink after the delay. */
  reset(): void {
    if (this.#closed) return;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#lane.propagateReset(this);
  }

  /** The sink accepts data again. */
  drained(): void {
    this.#blocked = false;
    if (!this.#closed && (this.#queue.length > 0 || this.#endedAt !== undefined)) this.#lane.offer(this);
  }

  /** The sink is gone: nothing more is written, and the source is read to its end so that it can close. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (this.#paused) this.#source.resume();
    this.#paused = false;
  }

  /** @internal The next thing to put on the line, at most `limitBytes` of it. */
  take(limitBytes: number): { item: Buffer | 'end'; readAt: number } | undefined {
    if (this.#closed || this.#blocked) return undefined;
    const head = this.#queue[0];
    if (head === undefined) {
      if (this.#endedAt === undefined || this.#endTaken) return undefined;
      this.#endTaken = true;
      return { item: 'end', readAt: this.#endedAt };
    }
    const item = head.bytes.length <= limitBytes ? head.bytes : head.bytes.subarray(0, limitBytes);
    if (item.length === head.bytes.length) this.#queue.shift();
    else head.bytes = head.bytes.subarray(item.length);
    this.#queuedBytes -= item.length;
    if (this.#paused && this.#queuedBytes <= this.#bufferBytes / 2) {
      this.#paused = false;
      this.#source.resume();
    }
    return { item, readAt: head.readAt };
  }

  /** @internal */
  get hasMore(): boolean {
    return this.#queue.length > 0;
  }

  /** @internal True if this call corked the flow, which then needs a `flush`. */
  deliver(item: Buffer | 'end' | 'reset'): boolean {
    if (this.#closed) return false;
    if (item === 'reset') {
      this.#sink.reset();
      return false;
    }
    if (item === 'end') {
      this.#sink.end();
      return false;
    }
    const corkedNow = !this.#corked;
    if (corkedNow) {
      this.#corked = true;
      this.#sink.cork();
    }
    if (!this.#sink.write(item)) this.#blocked = true;
    return corkedNow;
  }

  /** @internal */
  flush(): void {
    this.#corked = false;
    if (!this.#closed) this.#sink.uncork();
  }
}
