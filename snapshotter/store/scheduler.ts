import { performance } from 'node:perf_hooks';
import { createLinkEstimate, type LinkEstimate } from './link-estimate.ts';
import type { FetchPriority } from './metrics.ts';

export interface SchedulerOptions {
  /** Concurrent demand requests. High: at 30 ms of RTT, sequential requests cost more than concurrent ones. */
  readonly maxDemand?: number;
  /** Concurrent prefetch requests, however large. */
  readonly maxPrefetch?: number;
  /** The same where they are so small that all of them together do not fill the link. */
  readonly maxSmallPrefetch?: number;
  /** `max_concurrency` of the configuration, which in containerd-stargz-grpc bounds background work only. */
  readonly maxBackground?: number;
  /** Quiet period before background work starts. */
  readonly quietMs?: number;
  readonly now?: () => number;
}

export interface FetchSize {
  /** Of the layers' first queued jobs of a priority, those of the lowest rank come first. Default: 0. */
  readonly rank?: number;
  /** Bytes of the response, and the link they come over. Without these, a prefetch counts as a large one. */
  readonly sizeBytes?: number;
  readonly link?: Pick<LinkEstimate, 'windowBytes'>;
}

/** A fetch in the scheduler. */
export interface Ticket {
  /** Only raises. A queued ticket changes queues; a running one frees its old slot. */
  promote(priority: FetchPriority): void;
  /** Takes a ticket that has not started out of the queue. */
  cancel(): void;
}

interface Job {
  readonly layer: string;
  priority: FetchPriority;
  state: 'queued' | 'running' | 'done';
  readonly start: () => Promise<void>;
  readonly size: FetchSize;
  readonly rank: number;
}

/** Bytes of prefetch in flight, in link windows, from which on more requests would only wait for each other. */
const fullWindows = 2;

const order = ['demand', 'prefetch', 'background'] as const;
export const moreUrgent = (a: FetchPriority, b: FetchPriority): boolean => order.indexOf(a) < order.indexOf(b);

/**
 * One per daemon: decides which fetch runs next. Demand before prefetch before background; round-robin over the layers within
 * a priority, so that one layer's queue does not delay another's first read. Background work neither starts nor reads its
 * response while something more urgent runs.
 */
export class FetchScheduler {
  readonly #limits: Readonly<Record<FetchPriority, number>>;
  readonly #maxSmallPrefetch: number;
  readonly #quietMs: number;
  readonly #now: () => number;
  /** Per priority: layers in round-robin order, each with its queue. */
  readonly #queues: Record<FetchPriority, Map<string, Job[]>> = {
    demand: new Map(),
    prefetch: new Map(),
    background: new Map(),
  };
  readonly #running: Record<FetchPriority, number> = { demand: 0, prefetch: 0, background: 0 };
  /** Of the running prefetches. */
  #prefetchBytes = 0;
  readonly #links = new Map<string, LinkEstimate>();
  #resumers: (() => void)[] = [];
  #lastUrgentMs = Number.NEGATIVE_INFINITY;
  #quietTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: SchedulerOptions = {}) {
    this.#limits = {
      demand: options.maxDemand ?? 32,
      prefetch: options.maxPrefetch ?? 6,
      background: options.maxBackground ?? 2,
    };
    this.#maxSmallPrefetch = options.maxSmallPrefetch ?? 24;
    this.#quietMs = options.quietMs ?? 2000;
    this.#now = options.now ?? (() => performance.now());
  }

  /** The estimate shared by everything fetched from one registry host. */
  link(host: string): LinkEstimate {
    let link = this.#links.get(host);
    if (link === undefined) {
      link = createLinkEstimate();
      this.#links.set(host, link);
    }
    return link;
  }

  /**
   * `start` is called once, when its turn comes; it must not reject. The rank is that of the image: its layers are prefetched in
   * one order.
   */
  submit(layer: string, priority: FetchPriority, start: () => Promise<void>, size: FetchSize = {}): Ticket {
    const job: Job = { layer, priority, state: 'queued', start, size, rank: size.rank ?? 0 };
    this.#enqueue(job);
    this.#pump();
    return {
      promote: (wanted) => this.#promote(job, wanted),
      cancel: () => this.#cancel(job),
    };
  }

  /** Resolves when a running fetch may continue to read: at once, except background while others run. */
  async turn(run: { readonly priority: FetchPriority }, signal: AbortSignal): Promise<void> {
    while (run.priority === 'background' && this.#urgent() && !this.#closed) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', wake);
          resolve();
        };
        signal.addEventListener('abort', wake, { once: true });
        this.#resumers.push(wake);
      });
    }
  }

  /** Notes activity: restarts the quiet period before background work. */
  noteActivity(): void {
    this.#lastUrgentMs = this.#now();
  }

  /** Requests running, by priority. */
  running(): Readonly<Record<FetchPriority, number>> {
    return { ...this.#running };
  }

  /** Starts nothing any more. Running fetches are ended by their stores. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#quietTimer);
    this.#wakePaused();
  }

  #enqueue(job: Job): void {
    const queues = this.#queues[job.priority];
    const queue = queues.get(job.layer);
    if (queue === undefined) queues.set(job.layer, [job]);
    else queue.push(job);
  }

  #dequeue(job: Job): void {
    const queues = this.#queues[job.priority];
    const queue = queues.get(job.layer)!;
    queue.splice(queue.indexOf(job), 1);
    if (queue.length === 0) queues.delete(job.layer);
  }

  #pump(): void {
    if (this.#closed) return;
    for (const priority of order) {
      for (;;) {
        const queue = this.#nextQueue(priority);
        if (queue === undefined || !this.#hasRoom(queue[0]!)) break;
        this.#run(this.#takeFirst(queue));
      }
    }
  }

  /**
   * Hot ranges may be small: six of 80 KiB at once would leave a link of 100 ms idle half of the time. So the bytes in flight
   * count as well as the requests.
   */
  #hasRoom({ priority, size: { link } }: Job): boolean {
    const running = this.#running[priority];
    if (priority === 'background') return running < this.#limits.background && this.#isQuiet();
    if (running < this.#limits[priority]) return true;
    if (priority !== 'prefetch' || running >= this.#maxSmallPrefetch || link === undefined) return false;
    return this.#prefetchBytes < fullWindows * link.windowBytes();
  }

  #nextQueue(priority: FetchPriority): Job[] | undefined {
    let next: Job[] | undefined;
    for (const queue of this.#queues[priority].values())
      if (next === undefined || queue[0]!.rank < next[0]!.rank) next = queue;
    return next;
  }

  /** Its layer goes to the end of the round. */
  #takeFirst(queue: Job[]): Job {
    const job = queue.shift()!;
    const queues = this.#queues[job.priority];
    queues.delete(job.layer);
    if (queue.length > 0) queues.set(job.layer, queue);
    return job;
  }

  #run(job: Job): void {
    job.state = 'running';
    this.#occupy(job);
    void job.start().finally(() => {
      job.state = 'done';
      this.#release(job);
      this.#pump();
    });
  }

  #occupy({ priority, size: { sizeBytes = 0 } }: Job): void {
    this.#running[priority]++;
    if (priority === 'prefetch') this.#prefetchBytes += sizeBytes;
  }

  #release({ priority, size: { sizeBytes = 0 } }: Job): void {
    this.#running[priority]--;
    if (priority === 'prefetch') this.#prefetchBytes -= sizeBytes;
    if (priority !== 'background') this.#lastUrgentMs = this.#now();
    if (!this.#urgent()) this.#wakePaused();
  }

  #promote(job: Job, priority: FetchPriority): void {
    if (!moreUrgent(priority, job.priority)) return;
    if (job.state === 'queued') {
      this.#dequeue(job);
      job.priority = priority;
      this.#enqueue(job);
    } else if (job.state === 'running') {
      this.#release(job);
      job.priority = priority;
      this.#occupy(job);
      this.#wakePaused();
    }
    this.#pump();
  }

  #cancel(job: Job): void {
    if (job.state !== 'queued') return;
    this.#dequeue(job);
    job.state = 'done';
  }

  #urgent(): boolean {
    return this.#running.demand + this.#running.prefetch > 0;
  }

  #isQuiet(): boolean {
    if (this.#urgent()) return false;
    const waitMs = this.#lastUrgentMs + this.#quietMs - this.#now();
    if (waitMs <= 0) return true;
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => this.#pump(), Math.ceil(waitMs)).unref();
    return false;
  }

  #wakePaused(): void {
    const resumers = this.#resumers;
    this.#resumers = [];
    for (const resume of resumers) resume();
  }
}
