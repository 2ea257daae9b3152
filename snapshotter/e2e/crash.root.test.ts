import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { randomBelow } from '../../measurements/stats/random.ts';
import {
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
import { pinFile } from '../../testkit/pinned-file.ts';
import { unmount } from '../../testkit/mounts.ts';
import { randomOf } from '../../testkit/random.ts';

/**
 * What readers see when the daemon is killed and started again: the bytes of the image or, for reads under way, an error.
 * Never other bytes, and never an endless wait.
 */

const limit = { timeout: 120_000 };

describe('a daemon that is killed', { timeout: 400_000 }, () => {
  const suite = suiteLifetime();
  let image: LazyImage;

  before(async () => {
    image = await serveLazyImage(suite);
  }, limit);

  for (const backend of ['fuse', 'erofs'] as const) {
    test(`${backend}: present data is read on, reads of holes wait for the next daemon`, limit, async (t) => {
      const bench = await openBench(t, image, backend);
      assert.equal(await sum(t, bench, 0), expected[0]);
      // The kernel has its pages, as nobody else on this machine can change.
      pinFile(t, join(bench.root, 'f0'));
      await bench.daemon.stop('SIGKILL');
      assert.equal(await Promise.race([sum(t, bench, 0), delay(5000, 'late')]), expected[0]);
      const waiting = [sum(t, bench, 5), sum(t, bench, 6)];
      assert.equal(await Promise.race([...waiting, delay(300, 'waits')]), 'waits');
      await bench.restart();
      assert.deepEqual(await Promise.all(waiting), [expected[5], expected[6]], bench.daemon.log());
      assert.deepEqual(await sumAll(t, bench), expected);
    });

    test(
      `${backend}: a read that was waiting for the registry when the daemon was killed succeeds or fails`,
      limit,
      async (t) => {
        const bench = await openBench(t, image, backend);
        image.gate.stall();
        const read = sum(t, bench, 9);
        await delay(300);
        await bench.daemon.stop('SIGKILL');
        await image.gate.open();
        await bench.restart();
        assert.ok([expected[9], 'failed'].includes(await read));
        assert.deepEqual(await sumAll(t, bench), expected, bench.daemon.log());
      },
    );

    test(`${backend}: a keeper that dies is replaced, and the daemon may die again`, limit, async (t) => {
      const bench = await openBench(t, image, backend);
      const keeper = await keeperOf(bench);
      process.kill(keeper, 'SIGKILL');
      await keeperOf(bench, keeper);
      await bench.daemon.stop('SIGKILL');
      const waiting = sum(t, bench, 8);
      await bench.restart();
      assert.equal(await waiting, expected[8]);
    });

    test(`${backend}: after the daemon and its keeper both died, new mounts are correct`, limit, async (t) => {
      const bench = await openBench(t, image, backend);
      const keeper = await keeperOf(bench);
      process.kill(bench.daemon.pid, 'SIGKILL');
      process.kill(keeper, 'SIGKILL');
      await bench.daemon.stop('SIGKILL');
      await bench.restart();
      // EROFS: holes that the old container has not read are guarded again. FUSE: its connection is gone.
      assert.equal(await sum(t, bench, 7), backend === 'erofs' ? expected[7] : 'failed');
      await unmount(bench.root);
      await mountContainer(bench);
      assert.deepEqual(await sumAll(t, bench), expected);
    });

    test(`${backend}: the daemon or its keeper killed at random while many read`, limit, async (t) => {
      const random = randomOf(t);
      const bench = await openBench(t, image, backend);
      for (let round = 0; round < 6; round++) {
        // Not before the daemon has a keeper: the death of both is another test.
        const keeper = await keeperOf(bench);
        const reads = expected.map((_, index) => sum(t, bench, index));
        await delay(randomBelow(150, random));
        if (randomBelow(2, random) === 0) {
          process.kill(keeper, 'SIGKILL');
          await keeperOf(bench, keeper);
        } else {
          await bench.daemon.stop('SIGKILL');
          await bench.restart();
        }
        for (const [index, read] of reads.entries())
          assert.ok([expected[index], 'failed'].includes(await read), `file ${index} in round ${round}`);
      }
      assert.deepEqual(await sumAll(t, bench), expected, bench.daemon.log());
    });
  }
});
