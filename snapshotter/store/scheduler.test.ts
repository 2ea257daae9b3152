import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FetchScheduler } from './scheduler.ts';

const limit = { timeout: 5000 };

interface Started {
  readonly names: string[];
  add(
    scheduler: FetchScheduler,
    layer: string,
    name: string,
    priority: 'demand' | 'prefetch' | 'background',
  ): ReturnType<FetchScheduler['submit']>;
  end(name: string): Promise<void>;
}

function recorder(): Started {
  const names: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    names,
    add: (scheduler, layer, name, priority) =>
      scheduler.submit(layer, priority, () => {
        names.push(name);
        return new Promise((resolve) => ends.set(name, resolve));
      }),
    async end(name) {
      ends.get(name)!();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

test('layers take turns within a priority', limit, async () => {
  const scheduler = new FetchScheduler({ maxDemand: 1 });
  const jobs = recorder();
  for (const name of ['a1', 'a2', 'a3']) jobs.add(scheduler, 'a', name, 'demand');
  for (const name of ['b1', 'b2']) jobs.add(scheduler, 'b', name, 'demand');
  for (const name of ['a1', 'a2', 'b1', 'a3']) await jobs.end(name);
  assert.deepEqual(jobs.names, ['a1', 'a2', 'b1', 'a3', 'b2']);
});

test('each priority has its own bound, and background waits until all else is done', limit, async () => {
  const scheduler = new FetchScheduler({ maxPrefetch: 1, maxBackground: 1, quietMs: 0 });
  const jobs = recorder();
  jobs.add(scheduler, 'a', 'prefetch1', 'prefetch');
  jobs.add(scheduler, 'a', 'prefetch2', 'prefetch');
  jobs.add(scheduler, 'a', 'background', 'background');
  jobs.add(scheduler, 'a', 'demand1', 'demand');
  jobs.add(scheduler, 'a', 'demand2', 'demand');
  assert.deepEqual(jobs.names, ['prefetch1', 'demand1', 'demand2']);
  for (const name of ['demand1', 'prefetch1', 'demand2']) await jobs.end(name);
  assert.deepEqual(jobs.names, ['prefetch1', 'demand1', 'demand2', 'prefetch2']);
  await jobs.end('prefetch2');
  assert.equal(jobs.names.at(-1), 'background');
});

test('background starts only after the quiet period', limit, async () => {
  let nowMs = 0;
  const scheduler = new FetchScheduler({ quietMs: 60_000, now: () => nowMs });
  const jobs = recorder();
  jobs.add(scheduler, 'a', 'demand', 'demand');
  await jobs.end('demand');
  jobs.add(scheduler, 'a', 'background', 'background');
  assert.deepEqual(jobs.names, ['demand']);
  nowMs = 60_000;
  jobs.add(scheduler, 'a', 'background2', 'background');
  assert.deepEqual(jobs.names, ['demand', 'background', 'background2']);
  scheduler.close();
});

test('a promoted ticket moves queues, and a running one frees its slot', limit, async () => {
  const scheduler = new FetchScheduler({ maxPrefetch: 1 });
  const jobs = recorder();
  const running = jobs.add(scheduler, 'a', 'p1', 'prefetch');
  jobs.add(scheduler, 'a', 'p2', 'prefetch');
  const queued = jobs.add(scheduler, 'a', 'p3', 'prefetch');
  queued.promote('demand');
  assert.deepEqual(jobs.names, ['p1', 'p3']);
  running.promote('demand');
  assert.deepEqual(jobs.names, ['p1', 'p3', 'p2']);
  assert.deepEqual(scheduler.running(), { demand: 2, prefetch: 1, background: 0 });
  running.promote('background');
  assert.deepEqual(scheduler.running(), { demand: 2, prefetch: 1, background: 0 });
});

test('a cancelled ticket never starts, one that runs is not cancelled', limit, async () => {
  const scheduler = new FetchScheduler({ maxDemand: 1 });
  const jobs = recorder();
  const first = jobs.add(scheduler, 'a', 'first', 'demand');
  const second = jobs.add(scheduler, 'a', 'second', 'demand');
  second.cancel();
  first.cancel();
  assert.deepEqual(scheduler.running(), { demand: 1, prefetch: 0, background: 0 });
  await jobs.end('first');
  assert.deepEqual(jobs.names, ['first']);
  assert.deepEqual(scheduler.running(), { demand: 0, prefetch: 0, background: 0 });
});

test('of the layers’ next jobs the one of the lowest rank comes first', limit, async () => {
  const scheduler = new FetchScheduler({ maxPrefetch: 1 });
  const started: string[] = [];
  const ends: (() => void)[] = [];
  const add = (layer: string, rank?: number): void => {
    const start = (): Promise<void> => {
      started.push(`${layer}${rank ?? ''}`);
      return new Promise((resolve) => ends.push(resolve));
    };
    scheduler.submit(layer, 'prefetch', start, rank === undefined ? {} : { rank });
  };
  for (const rank of [3, 4, 9]) add('a', rank);
  for (const rank of [1, 5]) add('b', rank);
  add('c');
  for (let ended = 0; ended < 6; ended++) {
    ends[ended]!();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(started, ['a3', 'c', 'b1', 'a4', 'b5', 'a9']);
  scheduler.close();
});

test('small prefetches run at once until two link windows are in flight', limit, async () => {
  const scheduler = new FetchScheduler({ maxPrefetch: 2, maxSmallPrefetch: 5 });
  const link = { windowBytes: () => 100 };
  const ends: (() => void)[] = [];
  const add = (sizeBytes: number) =>
    scheduler.submit('a', 'prefetch', () => new Promise((resolve) => ends.push(resolve)), { sizeBytes, link });
  const running = (): number => scheduler.running().prefetch;
  const tickets = [60, 60, 60, 60, 60, 500].map(add);
  assert.equal(running(), 4);
  ends[0]!();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(running(), 4, 'another of 60 bytes for the one that ended');
  for (const ticket of tickets.slice(1, 4)) ticket.promote('demand');
  assert.deepEqual(scheduler.running(), { demand: 3, prefetch: 2, background: 0 }, 'what is promoted leaves its room');
  for (let count = 0; count < 4; count++) add(1);
  assert.equal(running(), 2, 'a large one fills the link');
  for (const end of ends.slice(1)) end();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(running(), 4);
  for (let count = 0; count < 4; count++) add(1);
  assert.equal(running(), 5, 'requests are bounded as well');
  scheduler.close();
});
