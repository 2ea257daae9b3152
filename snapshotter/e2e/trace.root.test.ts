import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { TestDaemon } from '../../testkit/daemon.ts';
import { expected, type LazyImage, openBench, serveLazyImage, sum } from '../../testkit/killable-daemon.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { until } from '../../testkit/until.ts';

const limit = { timeout: 60_000 };

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

function linesOf(daemon: TestDaemon): Line[] {
  const lines = daemon.log().split('\n');
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
}

function tracesOf(daemon: TestDaemon): Line[] {
  return linesOf(daemon).filter(({ level }) => level === 'trace');
}

describe('a daemon with --log-level trace', { timeout: 200_000 }, () => {
  const suite = suiteLifetime();
  let image: LazyImage;

  before(async () => {
    image = await serveLazyImage(suite);
  }, limit);

  for (const backend of ['fuse', 'erofs'] as const) {
    test(`${backend}: a read can be followed from the kernel to the registry and back`, limit, async (t) => {
      const { daemon, ...bench } = await openBench(t, image, backend, { logLevel: 'trace' });
      assert.equal(await sum(t, { daemon, ...bench }, 7), expected[7]);
      const place = { layer: image.layer, path: '/f7' };
      const find = (msg: string, fields: object) =>
        until(
          `a trace "${msg}" with ${JSON.stringify(fields)}`,
          () =>
            tracesOf(daemon).find(
              (line) => line.msg === msg && Object.entries(fields).every(([name, value]) => line[name] === value),
            ),
          { limitMs: 10_000 },
        );
      const asked =
        backend === 'fuse'
          ? await find('FUSE request', { ...place, operation: 'READ', outcome: 'missed' })
          : await find('fanotify event', { ...place, outcome: 'missed' });
      assert.ok((asked.pid as number) > 0 || backend === 'fuse');
      const missed = await find('content missed', place);
      assert.match(missed.range as string, /^\d+-\d+$/);
      const fetched = await find('content fetched', { ...place, priority: 'demand', outcome: 'ok' });
      assert.equal(fetched.range, missed.fetched);
      const request = await find('registry request', { range: `bytes=${fetched.range}`, layer: image.layer });
      assert.deepEqual([request.method, request.status, request.bytes], ['GET', 206, fetched.bytes]);
      const answered = await find(backend === 'fuse' ? 'FUSE read answered' : 'fanotify event answered', place);
      assert.equal(answered.error, undefined);
      assert.equal(typeof answered.waitedMs, 'number');
      if (backend === 'fuse') await find('FUSE request', { operation: 'LOOKUP', name: 'f7', outcome: 'answered' });
    });

    test(`${backend}: a failed read is logged, and other log levels trace nothing`, limit, async (t) => {
      const traced = await openBench(t, image, backend, { logLevel: 'trace' });
      await traced.daemon.stop('SIGTERM');
      image.gate.stall();
      await traced.restart('[blob]\nfetching_timeout_sec = 1\n');
      assert.equal(await sum(t, traced, 9), 'failed');
      const answered = tracesOf(traced.daemon).find(({ path, error }) => path === '/f9' && error === 'EIO');
      assert.equal(answered?.layer, image.layer);
      const failed = linesOf(traced.daemon).find(({ msg, path }) => msg === 'read failed' && path === '/f9');
      assert.deepEqual([failed?.layer, failed?.error], [image.layer, 'no data after 1000 ms']);
      await image.gate.open();
      const quiet = await openBench(t, image, backend);
      assert.equal(await sum(t, quiet, 9), expected[9]);
      assert.deepEqual(tracesOf(quiet.daemon), []);
    });
  }
});
