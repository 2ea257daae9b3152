import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startDaemon } from '../../testkit/daemon.ts';
import { findKeeper } from '../handover/keeper/keeper.ts';
import {
  type Bench,
  expected,
  keeperOf,
  type LazyImage,
  mountContainer,
  openBench,
  pullLayer,
  serveLazyImage,
  sum,
  sumAll,
} from '../../testkit/killable-daemon.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { mountPoints, unmount } from '../../testkit/mounts.ts';
import { until } from '../../testkit/until.ts';

/** What a daemon takes over from its predecessor, and what it removes. */

const limit = { timeout: 120_000 };

describe('a daemon that follows another', { timeout: 400_000 }, () => {
  const suite = suiteLifetime();
  let image: LazyImage;

  before(async () => {
    image = await serveLazyImage(suite);
  }, limit);

  const bookOf = (bench: Bench): string => readFileSync(join(bench.stateRoot, 'face.json'), 'utf8');

  /** Mounts the upper layer ahead; no request for it follows. */
  async function mountAhead(bench: Bench): Promise<void> {
    await pullLayer(bench, image, 'again', image.layer, [image.layer, image.upperLayer]);
    const isNoted = () => bookOf(bench).includes(image.upperLayer);
    await until('the upper layer in face.json', isNoted, { limitMs: 20_000 });
  }

  /** FUSE shows a directory per layer, EROFS a mount per layer. */
  /** A daemon that has just started shows those of its rehearsal too. */
  async function showsLayers(bench: Bench, backend: 'fuse' | 'erofs', count: number): Promise<void> {
    const soon = { limitMs: 10_000 };
    await until(`${count} layers are shown`, () => shownLayers(bench, backend) === count, soon).catch((error: Error) =>
      assert.fail(`${error.message}\n${bench.daemon.log()}`),
    );
  }

  function shownLayers(bench: Bench, backend: 'fuse' | 'erofs'): number {
    return backend === 'fuse'
      ? readdirSync(join(bench.stateRoot, 'mnt')).length
      : mountPoints(join(bench.stateRoot, 'erofs')).length;
  }

  for (const backend of ['fuse', 'erofs'] as const) {
    test(`${backend}: SIGTERM leaves mounts to the next daemon, SIGINT unmounts everything`, limit, async (t) => {
      const bench = await openBench(t, image, backend);
      assert.equal(await bench.daemon.stop('SIGTERM'), 0);
      const waiting = sum(t, bench, 3);
      await bench.restart();
      assert.equal(await waiting, expected[3]);
      assert.deepEqual(await sumAll(t, bench), expected);
      await unmount(bench.root);
      assert.equal(await bench.daemon.stop('SIGINT'), 0);
      assert.deepEqual(mountPoints(bench.directory), []);
      assert.equal(await findKeeper(bench.stateRoot), undefined);
    });

    test(`${backend}: repeated updates fail none of many readers`, limit, async (t) => {
      const bench = await openBench(t, image, backend);
      for (let update = 0; update < 4; update++) {
        const files = Array.from({ length: 10 }, (_, index) => update * 10 + index);
        const reads = files.map((file) => sum(t, bench, file));
        await delay(update * 20);
        assert.equal(await bench.daemon.stop('SIGTERM'), 0);
        await bench.restart();
        assert.deepEqual(
          await Promise.all(reads),
          files.map((file) => expected[file]),
          bench.daemon.log(),
        );
      }
    });

    test(`${backend}: a layer that was mounted ahead and never requested is gone`, limit, async (t) => {
      const bench = await openBench(t, image, backend);
      await mountAhead(bench);
      await showsLayers(bench, backend, 2);
      await bench.daemon.stop('SIGKILL');
      await bench.restart();
      await showsLayers(bench, backend, 1);
      await pullLayer(bench, image, 'upper', image.upperLayer);
      assert.deepEqual(await sumAll(t, bench), expected);
      await unmount(bench.root);
      assert.equal(await bench.daemon.stop('SIGINT'), 0);
      assert.deepEqual(mountPoints(bench.directory), []);
    });

    test(`${backend}: a root behind a symbolic link, on a path with a space, is found again`, limit, async (t) => {
      const bench = await openBench(t, image, backend, {
        makeStateRoot(directory) {
          mkdirSync(join(directory, 'a disk/root'), { recursive: true });
          symlinkSync(join(directory, 'a disk/root'), join(directory, 'link'));
          return join(directory, 'link');
        },
      });
      // More while the daemon rehearses.
      const mounts = () => mountPoints(join(bench.directory, 'a disk'));
      const soon = { limitMs: 10_000 };
      await until('one mount', () => mounts().length === 1, soon);
      const before = mounts();
      await bench.daemon.stop('SIGKILL');
      await bench.restart();
      await until('the same mount', () => isDeepStrictEqual(mounts(), before), soon);
      assert.deepEqual(await sumAll(t, bench), expected);
      await unmount(bench.root);
      assert.equal(await bench.daemon.stop('SIGINT'), 0);
      assert.deepEqual(mountPoints(bench.directory), []);
    });
  }

  for (const backend of ['fuse', 'erofs'] as const) {
    test(`${backend}: a daemon killed in its rehearsal leaves nothing of it to the next`, limit, async (t) => {
      const directory = mkdtempSync(join(image.scratch, 'rehearsed-'));
      const options = { config: `[mount]\nbackend = "${backend}"\n` };
      const root = join(directory, 'root');
      const soon = { limitMs: 10_000 };
      const rehearsed = join(root, 'rehearsal/layers');
      const inRehearsal = () => existsSync(rehearsed) && readdirSync(rehearsed).length > 0;
      let first = await startDaemon(t, directory, options);
      // A busy machine can look at it too late.
      for (let ended = 0; !inRehearsal(); await delay(1)) {
        if (first.log().split('first pull rehearsed').length - 1 === ended) continue;
        ended++;
        assert.equal(await first.stop('SIGINT'), 0);
        first = await startDaemon(t, directory, options);
      }
      await first.stop('SIGKILL');
      const second = await startDaemon(t, directory, options);
      await until('the end of the rehearsal', () => !existsSync(join(root, 'rehearsal')), soon);
      assert.equal(mountPoints(root).length, backend === 'fuse' ? 1 : 0);
      assert.equal(await second.stop('SIGINT'), 0);
      assert.deepEqual(mountPoints(directory), []);
    });
  }

  test('erofs: a mount whose slot is not recorded is removed, and its slot can be used', limit, async (t) => {
    const bench = await openBench(t, image, 'erofs');
    await mountAhead(bench);
    await bench.daemon.stop('SIGKILL');
    const lines = bookOf(bench).split('\n');
    writeFileSync(
      join(bench.stateRoot, 'face.json'),
      lines.filter((line) => !line.includes(image.upperLayer)).join('\n'),
    );
    await bench.restart();
    await showsLayers(bench, 'erofs', 1);
    await pullLayer(bench, image, 'upper', image.upperLayer);
    await showsLayers(bench, 'erofs', 2);
    assert.deepEqual(await sumAll(t, bench), expected);
  });

  test('erofs: without the record of what was mounted, containers read on', limit, async (t) => {
    const bench = await openBench(t, image, 'erofs');
    await bench.daemon.stop('SIGKILL');
    writeFileSync(join(bench.stateRoot, 'face.json'), '{"version":0}\n');
    const waiting = sum(t, bench, 4);
    await bench.restart();
    assert.equal(await waiting, expected[4], bench.daemon.log());
    await bench.daemon.stop('SIGKILL');
    await bench.restart();
    assert.deepEqual(await sumAll(t, bench), expected);
    await showsLayers(bench, 'erofs', 1);
  });

  test('erofs: after a daemon that died before its first record, the next one starts', limit, async (t) => {
    const directory = mkdtempSync(join(image.scratch, 'new-'));
    const options = { config: '[mount]\nbackend = "erofs"\n' };
    const first = await startDaemon(t, directory, options);
    await keeperOf({ daemon: first });
    await first.stop('SIGKILL');
    rmSync(join(directory, 'root/face.json'));
    const second = await startDaemon(t, directory, options);
    assert.equal(await second.stop('SIGINT'), 0);
    assert.equal(await findKeeper(join(directory, 'root')), undefined);
  });

  test('erofs: a layer that cannot be restored stays guarded when the daemon stops', limit, async (t) => {
    const bench = await openBench(t, image, 'erofs');
    await bench.daemon.stop('SIGKILL');
    rmSync(join(bench.stateRoot, 'layers', image.layer.slice('sha256:'.length), 'meta.json'));
    image.gate.stall();
    const unreachable =
      '[snapshotter]\nallow_invalid_mounts_on_restart = true\n[resolver]\nrequest_timeout_sec = 1\n[blob]\nmax_retries = 1\n';
    await bench.restart(unreachable);
    const keeper = await keeperOf(bench);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      assert.equal(await sum(t, bench, 2), 'failed');
      assert.equal(await bench.daemon.stop(signal), 0);
      assert.ok(existsSync(`/proc/${keeper}`), bench.daemon.log());
      const reading = sum(t, bench, 2);
      await bench.restart(unreachable);
      assert.equal(await reading, 'failed');
    }
    await image.gate.open();
    await bench.daemon.stop('SIGTERM');
    await bench.restart();
    // The data file was replaced: users of the old one get errors, not zeros.
    assert.equal(await sum(t, bench, 2), 'failed');
    await unmount(bench.root);
    await mountContainer(bench);
    assert.deepEqual(await sumAll(t, bench), expected);
  });
});
