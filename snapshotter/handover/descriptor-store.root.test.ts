import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive } from '../../harness/host/processes.ts';
import { openStandInStore } from '../../testkit/descriptor-store.ts';
import {
  type Bench,
  expected,
  keeperOf,
  type LazyImage,
  mountContainer,
  openBench,
  serveLazyImage,
  sum,
  sumAll,
} from '../../testkit/killable-daemon.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { mountPoints, unmount } from '../../testkit/mounts.ts';
import { until } from '../../testkit/until.ts';
import { findKeeper } from './keeper/keeper.ts';

/** With systemd's descriptor store, readers wait even when the daemon and its keeper die together. */

const limit = { timeout: 120_000 };
const storedName = { fuse: 'fuse-connection', erofs: 'fanotify-group' } as const;

describe('a daemon whose descriptors systemd holds too', { timeout: 400_000 }, () => {
  const suite = suiteLifetime();
  let image: LazyImage;

  before(async () => {
    image = await serveLazyImage(suite);
  }, limit);

  const openStore = (t: Parameters<typeof openStandInStore>[0]) =>
    openStandInStore(t, mkdtempSync(join(image.scratch, 'store-')));

  /** Stops the daemon first, so that it does not start another keeper. */
  async function killBoth(bench: Bench): Promise<void> {
    const keeper = await keeperOf(bench);
    process.kill(bench.daemon.pid, 'SIGSTOP');
    process.kill(keeper, 'SIGKILL');
    assert.equal(await bench.daemon.stop('SIGKILL'), 'SIGKILL');
    await until('the end of the keeper', async () => !(await isAlive(keeper)), { limitMs: 10_000 });
  }

  for (const backend of ['fuse', 'erofs'] as const) {
    test(`${backend}: reads of holes wait while neither the daemon nor its keeper lives`, limit, async (t) => {
      const store = await openStore(t);
      const bench = await openBench(t, image, backend, { store });
      assert.deepEqual(await store.held(), [storedName[backend]]);
      for (const round of [0, 1]) {
        const [under, present, hole] = [3 * round, 3 * round + 1, 3 * round + 2];
        assert.equal(await sum(t, bench, present), expected[present]);
        const underWay = sum(t, bench, under);
        await killBoth(bench);
        assert.equal(await sum(t, bench, present), expected[present]);
        const waiting = [sum(t, bench, hole), sum(t, bench, 20 + hole)];
        assert.equal(await Promise.race([...waiting, delay(500, 'waits')]), 'waits');
        await bench.restart();
        assert.deepEqual(await Promise.all(waiting), [expected[hole], expected[20 + hole]], bench.daemon.log());
        assert.ok([expected[under], 'failed'].includes(await underWay));
        assert.deepEqual(await store.held(), [storedName[backend]]);
      }
      assert.deepEqual(await sumAll(t, bench), expected);
      assert.equal(bench.daemon.status().face?.takenOver, true);
      await unmount(bench.root);
      assert.equal(await bench.daemon.stop('SIGINT'), 0);
      assert.deepEqual(mountPoints(bench.directory), []);
      assert.equal(await findKeeper(bench.stateRoot), undefined);
      assert.deepEqual(await store.held(), []);
    });

    test(`${backend}: a keeper that is alive is preferred to the descriptor store`, limit, async (t) => {
      const store = await openStore(t);
      const bench = await openBench(t, image, backend, { store });
      const keeper = await keeperOf(bench);
      for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
        await bench.daemon.stop(signal);
        const waiting = sum(t, bench, signal === 'SIGKILL' ? 7 : 8);
        await bench.restart();
        assert.equal(await waiting, expected[signal === 'SIGKILL' ? 7 : 8]);
        assert.equal(await keeperOf(bench), keeper);
        assert.deepEqual(await store.held(), [storedName[backend]]);
      }
      await killBoth(bench);
      const waiting = sum(t, bench, 9);
      await bench.restart();
      assert.equal(await waiting, expected[9], bench.daemon.log());
    });
  }

  test('stored descriptors that fit no record of mounts are dropped', limit, async (t) => {
    const store = await openStore(t);
    const bench = await openBench(t, image, 'fuse', { store });
    await killBoth(bench);
    writeFileSync(join(bench.stateRoot, 'face.json'), '{"version":0}\n');
    const waiting = sum(t, bench, 4);
    await bench.restart();
    assert.equal(await waiting, 'failed');
    assert.deepEqual(await store.held(), ['fuse-connection'], bench.daemon.log());
    await unmount(bench.root);
    await mountContainer(bench);
    assert.deepEqual(await sumAll(t, bench), expected);
  });

  test('erofs: a store that cannot be reached gives a warning, and the daemon starts', limit, async (t) => {
    const store = await openStore(t);
    const { launcher } = store.startOptions;
    const unreachable = { ...store, startOptions: { launcher, env: { NOTIFY_SOCKET: '/nonexistent/notify' } } };
    const bench = await openBench(t, image, 'erofs', { store: unreachable });
    assert.equal(bench.daemon.status().descriptorStore, 'unreachable');
    assert.equal(await sum(t, bench, 0), expected[0]);
  });
});
