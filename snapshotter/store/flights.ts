import { performance } from 'node:perf_hooks';
import { rankUnitBytes } from '../estargz/hot-ranges.ts';
import { untilAborted } from '../platform/abort.ts';
import type { Log } from '../platform/log.ts';
import { type BlobSource, distrustOnce } from '../registry/blob-source.ts';
import { pathOf } from '../tree/lookup.ts';
import { StoreError } from './error.ts';
import { streamMembers } from './fetch-run.ts';
import type { FetchPlan, FetchWindow } from './fetch-window.ts';
import type { LayerInflater } from './inflate-pool.ts';
import { type LinkEstimate, segmentBytesOf } from './link-estimate.ts';
import type { Refusal } from './member-dispatch.ts';
import { chunksOf } from './member-index.ts';
import type { ChunkTarget } from './member-reader.ts';
import type { FetchMetrics, FetchPriority } from './metrics.ts';
import { type FetchScheduler, moreUrgent, type Ticket } from './scheduler.ts';
import { contiguousSpans, type Span } from './spans.ts';
import { createStreamWatch } from './stream-watch.ts';

export interface FlightContext {
  readonly target: ChunkTarget;
  readonly inflater: LayerInflater;
  readonly source: BlobSource;
  readonly scheduler: FetchScheduler;
  readonly link: LinkEstimate;
  readonly window: FetchWindow;
  readonly metrics: FetchMetrics;
  /** A line per miss and per fetch. */
  readonly trace?: Log['trace'];
  isStored(member: number): boolean;
}

interface Run {
  readonly first: number;
  readonly last: number;
  /** See FetchScheduler.submit. */
  readonly rank: number;
  priority: FetchPriority;
  state: 'queued' | 'active' | 'done';
  /** Members of [first, last] that this run is to store. */
  owned: number;
  /** Blob offset up to which bytes have arrived. */
  position: number;
  ticket: Ticket | undefined;
}

type Waiter = (error: StoreError | undefined) => void;

/**
 * The fetches of one layer. A run is one ranged GET; each missing member belongs to at most one run. Readers wait for a
 * member by its number, so it can move from a run that has not reached it to a more urgent one unnoticed.
 */
export class Flights {
  readonly #context: FlightContext;
  readonly #owner = new Map<number, Run>();
  readonly #waiters = new Map<number, Waiter[]>();
  /** Members in flight that a demand waits for. */
  readonly #demanded = new Set<number>();
  /** Damaged members that were requested again, with the servers that sent them: none is asked twice for one member. */
  readonly #blamed = new Map<number, Set<string>>();
  readonly #aborter = new AbortController();
  readonly #isUnasked = (member: number): boolean => this.#isFree(member, 'prefetch');
  readonly #streams = createStreamWatch(() => this.#fetchAhead(this.#context.window.advance(this.#isUnasked)));
  #active = 0;
  #drained: (() => void) | undefined;

  constructor(context: FlightContext) {
    this.#context = context;
  }

  get inFlight(): number {
    return this.#owner.size;
  }

  /**
   * Fetches missing members (ascending) and waits for them. An abort ends the wait, not the fetch: others may wait for it.
   * Returns whether anything was fetched that was not in flight already.
   */
  fetch(
    members: readonly number[],
    priority: FetchPriority,
    signal?: AbortSignal,
  ): { joined: boolean; done: Promise<void> } {
    if (this.#aborter.signal.aborted) return { joined: false, done: Promise.reject(this.#closedError()) };
    const needed = members.filter((member) => !this.#join(member, priority));
    for (const span of contiguousSpans(this.#context.target.table, needed)) {
      if (priority !== 'demand') {
        this.#start(span, priority);
        continue;
      }
      const plan = this.#context.window.plan(span.first, span.last, (member) => this.#isFree(member, priority));
      this.#traceMiss(span, plan);
      this.#start(plan.demand, priority);
      this.#fetchAhead(plan.ahead);
    }
    if (priority === 'demand') {
      if (needed.length === 0) this.#fetchAhead(this.#context.window.follow(members, this.#isUnasked));
      for (const member of members) if (this.#owner.has(member)) this.#demanded.add(member);
    }
    return { joined: needed.length === 0, done: this.waitFor(members, signal) };
  }

  /**
   * Queues the members of [first, last] that are neither present nor in flight, in segments; returns those to wait for. The
   * first segment has this rank, and the others that of their distance from it.
   */
  queue(
    first: number,
    last: number,
    priority: FetchPriority,
    { mostBytes = Number.POSITIVE_INFINITY, rank = 0 } = {},
  ): number[] {
    const segmentBytes = segmentBytesOf(this.#context.link);
    const queued: number[] = [];
    let bytes = 0;
    let begin = -1;
    for (let member = first; member <= last + 1; member++) {
      const free = member <= last && bytes < mostBytes && this.#isFree(member, priority);
      if (begin >= 0 && (!free || this.#endOf(member - 1) - this.#offsetOf(begin) >= segmentBytes)) {
        const distance = Math.floor((this.#offsetOf(begin) - this.#offsetOf(first)) / rankUnitBytes);
        this.#start({ first: begin, last: member - 1 }, priority, rank + distance);
        begin = -1;
      }
      if (bytes >= mostBytes) break;
      if (!free) continue;
      if (begin < 0) begin = member;
      bytes += this.#endOf(member) - this.#offsetOf(member);
      queued.push(member);
    }
    return queued;
  }

  /** Waits for members in flight; rejects at the first failure, or with the signal's reason. */
  waitFor(members: readonly number[], signal?: AbortSignal): Promise<void> {
    const done = new Promise<void>((resolve, reject) => {
      let left = 0;
      const waiter: Waiter = (error) => {
        if (error !== undefined) reject(error);
        else if (--left === 0) resolve();
      };
      for (const member of members) {
        if (!this.#owner.has(member)) continue;
        left++;
        const waiters = this.#waiters.get(member);
        if (waiters === undefined) this.#waiters.set(member, [waiter]);
        else waiters.push(waiter);
      }
      if (left === 0) resolve();
    });
    return signal === undefined ? done : untilAborted(done, signal);
  }

  /** Ends all transfers and rejects all waits. Resolves once no run uses the data file. */
  async close(): Promise<void> {
    this.#aborter.abort();
    this.#streams.stop();
    for (const run of new Set(this.#owner.values())) {
      if (run.state !== 'queued') continue;
      run.ticket?.cancel();
      this.#abandon(run, this.#closedError());
    }
    if (this.#active > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
  }

  /** True if a run in flight brings the member soon enough; may raise that run's priority. */
  #join(member: number, priority: FetchPriority): boolean {
    const run = this.#owner.get(member);
    if (run === undefined) return this.#context.isStored(member);
    if (!moreUrgent(priority, run.priority)) return true;
    if (this.#isOvertakable(run, member)) return false;
    run.priority = priority;
    run.ticket?.promote(priority);
    return true;
  }

  /** Neither stored nor in a run of the same priority or one that reaches it soon. */
  #isFree(member: number, priority: FetchPriority): boolean {
    const run = this.#owner.get(member);
    if (run === undefined) return !this.#context.isStored(member);
    return moreUrgent(priority, run.priority) && this.#isOvertakable(run, member);
  }

  /** A new request is faster: the run has not started, or two link windows of others' bytes come before the member. */
  #isOvertakable(run: Run, member: number): boolean {
    return run.state === 'queued' || this.#offsetOf(member) - run.position > 2 * this.#context.link.windowBytes();
  }

  #fetchAhead(spans: readonly Span[]): boolean {
    for (const span of spans) this.#start(span, 'prefetch');
    if (spans.length > 0) this.#streams.start();
    return spans.length > 0;
  }

  #start({ first, last }: Span, priority: FetchPriority, rank = 0): void {
    const run: Run = {
      first,
      last,
      rank,
      priority,
      state: 'queued',
      owned: 0,
      position: this.#offsetOf(first),
      ticket: undefined,
    };
    for (let member = first; member <= last; member++) {
      const before = this.#owner.get(member);
      if (before === undefined ? this.#context.isStored(member) : !moreUrgent(priority, before.priority)) continue;
      if (before !== undefined && --before.owned === 0 && before.state === 'queued') before.ticket?.cancel();
      this.#owner.set(member, run);
      run.owned++;
    }
    if (run.owned === 0) return;
    const { scheduler, target, link } = this.#context;
    const size = { rank, sizeBytes: this.#endOf(last) - this.#offsetOf(first), link };
    run.ticket = scheduler.submit(target.subject, priority, () => this.#execute(run), size);
  }

  async #execute(run: Run): Promise<void> {
    const span = this.#ownedSpan(run);
    if (span === undefined || this.#aborter.signal.aborted) return this.#abandon(run, this.#closedError());
    run.state = 'active';
    this.#active++;
    try {
      await this.#transfer(run, span);
      this.#abandon(run, new StoreError('fetch', this.#context.target.subject, 'the fetch ended early'));
    } catch (error) {
      this.#abandon(run, this.#asStoreError(error));
    } finally {
      run.state = 'done';
      if (--this.#active === 0) this.#drained?.();
    }
  }

  async #transfer(run: Run, span: Span): Promise<void> {
    const { target, inflater, source, scheduler, link, metrics } = this.#context;
    const signal = this.#aborter.signal;
    const sentMs = performance.now();
    const arrivedBefore = link.arrivedBytes;
    let firstByteMs: number | undefined;
    let lastByteMs = 0;
    let ownBytes = 0;
    let held = false;
    let outcome: 'ok' | 'error' = 'error';
    metrics.requestStarted(run.priority);
    run.position = this.#offsetOf(span.first);
    try {
      await streamMembers(
        target,
        inflater,
        source,
        span.first,
        span.last,
        {
          wants: (member) => this.#owner.get(member) === run,
          owned: () => run.owned,
          isDemanded: (member) => this.#demanded.has(member),
          isUrgent: () => run.priority === 'demand',
          settled: (member, refusal) => this.#settle(member, run, refusal),
          received: (sizeBytes) => {
            lastByteMs = performance.now() - sentMs;
            firstByteMs ??= lastByteMs;
            run.position += sizeBytes;
            ownBytes += sizeBytes;
            link.arrivedBytes += sizeBytes;
            metrics.bytesFetched(run.priority, sizeBytes);
            if (run.priority !== 'background') return undefined;
            held = true;
            return scheduler.turn(run, signal);
          },
        },
        signal,
      );
      outcome = 'ok';
    } finally {
      const totalMs = performance.now() - sentMs;
      metrics.requestFinished(run.priority, outcome, totalMs);
      this.#traceFetch(run, span, { outcome, bytes: ownBytes, firstByteMs, totalMs });
      const otherBytes = link.arrivedBytes - arrivedBefore - ownBytes;
      if (outcome === 'ok' && !held && firstByteMs !== undefined) {
        link.observe({ firstByteMs, totalMs: lastByteMs, sizeBytes: ownBytes, otherBytes });
      }
    }
  }

  /** The remaining members of a queued run when it starts; those behind a wide gap become a new run. */
  #ownedSpan(run: Run): Span | undefined {
    const owned: number[] = [];
    for (let member = run.first; member <= run.last; member++) if (this.#owner.get(member) === run) owned.push(member);
    const [head, ...rest] = contiguousSpans(this.#context.target.table, owned);
    for (const span of rest) {
      for (let member = span.first; member <= span.last; member++) {
        if (this.#owner.get(member) !== run) continue;
        this.#owner.delete(member);
        run.owned--;
      }
      this.#start(span, run.priority, run.rank);
    }
    return head;
  }

  #settle(member: number, run: Run, refusal: Refusal | undefined): void {
    this.#owner.delete(member);
    run.owned--;
    if (refusal === undefined) this.#blamed.delete(member);
    else {
      this.#context.metrics.chunkRejected();
      if (this.#fetchElsewhere(member, run, refusal)) return;
    }
    this.#notify(member, refusal?.error);
  }

  /** Retries at another server, which may have the right bytes; waits for the member continue. */
  #fetchElsewhere(member: number, run: Run, { servers }: Refusal): boolean {
    const blamed = this.#blamed.get(member) ?? new Set<string>();
    if (!distrustOnce(this.#context.source, servers, blamed) || this.#aborter.signal.aborted) {
      this.#blamed.delete(member);
      return false;
    }
    this.#blamed.set(member, blamed);
    this.#start({ first: member, last: member }, run.priority);
    return true;
  }

  /** Fails what the run still owns. */
  #abandon(run: Run, error: StoreError): void {
    for (let member = run.first; run.owned > 0 && member <= run.last; member++) {
      if (this.#owner.get(member) !== run) continue;
      this.#owner.delete(member);
      run.owned--;
      this.#notify(member, error);
    }
    run.state = 'done';
  }

  #notify(member: number, error: StoreError | undefined): void {
    this.#demanded.delete(member);
    const waiters = this.#waiters.get(member);
    if (waiters === undefined) return;
    this.#waiters.delete(member);
    for (const waiter of waiters) waiter(error);
  }

  #traceMiss(missed: Span, { demand, ahead, because }: FetchPlan): void {
    const { trace, link } = this.#context;
    if (trace === undefined) return;
    const fields = {
      ...this.#place(missed),
      fetched: this.#rangeOf(demand),
      ahead: ahead.map((span) => this.#rangeOf(span)),
      because,
      windowBytes: Math.round(link.windowBytes()),
    };
    trace(fields, 'content missed');
  }

  #traceFetch(
    { priority }: Run,
    span: Span,
    {
      outcome,
      bytes,
      firstByteMs,
      totalMs,
    }: { outcome: string; bytes: number; firstByteMs: number | undefined; totalMs: number },
  ): void {
    const times = { firstByteMs: firstByteMs && Math.round(firstByteMs), durationMs: Math.round(totalMs) };
    this.#context.trace?.({ ...this.#place(span), priority, outcome, bytes, ...times }, 'content fetched');
  }

  /** Layer, file of the first member, blob range. */
  #place(span: Span): object {
    const { subject, table, index } = this.#context.target;
    const path = `/${pathOf(table, table.chunkInode[chunksOf(index, span.first)[0]!]!)}`;
    return { layer: subject, path, range: this.#rangeOf(span) };
  }

  /** In Range header form: the last byte is included. */
  #rangeOf({ first, last }: Span): string {
    return `${this.#offsetOf(first)}-${this.#endOf(last) - 1}`;
  }

  #asStoreError(error: unknown): StoreError {
    if (error instanceof StoreError) return error;
    if (this.#aborter.signal.aborted) return this.#closedError();
    return new StoreError('fetch', this.#context.target.subject, 'cannot fetch from the registry', error);
  }

  #closedError(): StoreError {
    return new StoreError('closed', this.#context.target.subject, 'the layer is being released');
  }

  #offsetOf(member: number): number {
    return this.#context.target.table.memberOffset[member]!;
  }

  #endOf(member: number): number {
    return this.#context.target.table.memberEnd[member]!;
  }
}
