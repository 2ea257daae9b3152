import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../../testkit/random.ts';
import { parseContentRange, parseUnsatisfiedRange } from './content-range.ts';
import { endpointsOf, originEndpoint } from './host.ts';
import { multipartBoundary, readMultipart } from './multipart.ts';
import { backoffMs, parseRetryAfter, systemClock } from './retry.ts';
import { isLoopback } from './server-address.ts';
import { expiryOf } from './signed-url.ts';

describe('Content-Range', () => {
  it('is read with and without a size', () => {
    assert.deepEqual(parseContentRange('bytes 0-99/1000'), { start: 0, end: 100, totalBytes: 1000 });
    assert.deepEqual(parseContentRange('bytes 5-5/*'), { start: 5, end: 6, totalBytes: undefined });
    assert.equal(parseUnsatisfiedRange('bytes */1000'), 1000);
    assert.equal(parseUnsatisfiedRange('bytes 0-1/1000'), undefined);
  });

  for (const header of ['bytes 9-5/10', 'bytes 0-10/10', 'items 0-1/2', 'bytes 0-1', 'bytes -1/2', undefined]) {
    it(`is refused as ${header}`, () => assert.equal(parseContentRange(header), undefined));
  }

  it('is refused where numbers exceed exact integers', () => {
    assert.equal(parseContentRange('bytes 0-9999999999999999/*'), undefined);
  });
});

describe('multipart/byteranges', () => {
  const content = Buffer.from('--B\r\nlooks like a boundary\r\n--B--\r\n'.repeat(20));
  const body = (...ranges: [number, number][]): Buffer =>
    Buffer.concat([
      Buffer.from('preamble\r\n'),
      ...ranges.flatMap(([start, end]) => [
        Buffer.from(`--B\r\nX: y\r\nContent-Range: bytes ${start}-${end - 1}/${content.length}\r\n\r\n`),
        content.subarray(start, end),
        Buffer.from('\r\n'),
      ]),
      Buffer.from('--B--\r\nepilogue'),
    ]);
  async function* cut(bytes: Buffer, at: readonly number[]): AsyncGenerator<Buffer> {
    const cuts = [0, ...at, bytes.length].sort((one, other) => one - other);
    for (const [index, end] of cuts.entries()) {
      if (index > 0) yield bytes.subarray(cuts[index - 1], end);
    }
  }

  it('names its boundary, quoted or not', () => {
    assert.equal(multipartBoundary('multipart/byteranges; boundary=abc'), 'abc');
    assert.equal(multipartBoundary('multipart/byteranges; charset=x; boundary="a b"'), 'a b');
    assert.equal(multipartBoundary('application/octet-stream'), undefined);
  });

  it('yields the parts however the body is split, even if payload looks like a boundary', async () => {
    const bytes = body([0, 100], [300, 301], [50, 400]);
    const cutPoints = fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(cutPoints, async (at) => {
        const parts = new Map<string, Buffer>();
        for await (const piece of readMultipart(cut(bytes, at), 'B')) {
          const key = `${piece.range.start}-${piece.range.end}`;
          assert.equal(piece.offset, piece.range.start + (parts.get(key)?.length ?? 0));
          parts.set(key, Buffer.concat([parts.get(key) ?? Buffer.alloc(0), piece.bytes]));
        }
        assert.deepEqual([...parts.keys()], ['0-100', '300-301', '50-400']);
        for (const [key, part] of parts) {
          const [start, end] = key.split('-').map(Number);
          assert.ok(part.equals(content.subarray(start, end)));
        }
      }),
    );
  });

  it('refuses a part without a range and a head without an end', async () => {
    const drain = async (bytes: Buffer): Promise<void> => {
      for await (const _piece of readMultipart(cut(bytes, []), 'B'));
    };
    await assert.rejects(drain(Buffer.from('--B\r\nX: y\r\n\r\nabc')), SyntaxError);
    await assert.rejects(drain(Buffer.concat([Buffer.from('--B\r\n'), Buffer.alloc(10_000, 'x')])), SyntaxError);
  });
});

describe('the end of a signed URL', () => {
  const cases: readonly [url: string, endMs: number | undefined][] = [
    ['https://a/b?X-Amz-Date=20260102T030405Z&X-Amz-Expires=60', Date.UTC(2026, 0, 2, 3, 5, 5)],
    ['https://a/b?X-Goog-Date=20260102T030405Z&X-Goog-Expires=60', Date.UTC(2026, 0, 2, 3, 5, 5)],
    ['https://a/b?Expires=1700000000&Signature=x', 1_700_000_000_000],
    ['https://a/b?se=2026-01-02T03%3A04%3A05Z&sig=x', Date.UTC(2026, 0, 2, 3, 4, 5)],
    ['https://a/b?X-Amz-Date=garbage&X-Amz-Expires=60', undefined],
    ['https://a/b', undefined],
  ];
  for (const [url, endMs] of cases) it(`is read from ${url}`, () => assert.equal(expiryOf(new URL(url)), endMs));
});

describe('waits', () => {
  it('double from the minimum to the maximum, half of each random', () => {
    const policy = { maxRetries: 9, minWaitMs: 30, maxWaitMs: 100 };
    assert.deepEqual(
      [1, 2, 3, 4].map((retry) => backoffMs(policy, retry, () => 0)),
      [15, 30, 50, 50],
    );
    assert.equal(
      backoffMs(policy, 1, () => 1),
      30,
    );
  });

  it('follow Retry-After in seconds or as a date', () => {
    assert.equal(parseRetryAfter('2', 0), 2_000);
    assert.equal(parseRetryAfter('Thu, 01 Jan 1970 00:00:10 GMT', 4_000), 6_000);
    assert.equal(parseRetryAfter('Thu, 01 Jan 1970 00:00:10 GMT', 14_000), 0);
    assert.equal(parseRetryAfter('soon', 0), undefined);
    assert.equal(parseRetryAfter(undefined, 0), undefined);
  });
});

describe('the system clock', () => {
  it('does not fire at once for a wait of months', async () => {
    const aborter = new AbortController();
    const slept = systemClock.sleep(2 ** 40, aborter.signal);
    setTimeout(() => aborter.abort(new Error('long enough')), 20);
    await assert.rejects(slept, /long enough/);
  });
});

describe('the servers of a registry', () => {
  it('use plain HTTP on loopback, TLS elsewhere, or what the options say', () => {
    for (const host of ['localhost', 'localhost:5000', '127.0.0.1:80', '127.9.9.9', '[::1]:5000']) {
      assert.ok(isLoopback(host), host);
      assert.deepEqual(originEndpoint(host, 1).schemes, ['http']);
    }
    for (const host of ['ghcr.io', '10.0.0.1:5000', '127.0.0.1.evil.test', 'localhost.test']) {
      assert.deepEqual(originEndpoint(host, 1).schemes, ['https']);
    }
    assert.deepEqual(originEndpoint('localhost', 1, { plainHttp: false }).schemes, ['https']);
    assert.deepEqual(originEndpoint('a.test', 1, { insecure: true }).schemes, ['https', 'http']);
    assert.equal(originEndpoint('docker.io', 1).authority, 'registry-1.docker.io');
    assert.equal(originEndpoint('docker.io', 1).name, 'docker.io');
  });

  it('are the mirrors first, then the registry, each with its own options', () => {
    const [first, second, origin] = endpointsOf('docker.io', 7_000, {
      requestTimeoutMs: 1,
      mirrors: [{ host: 'http://m1:5000' }, { host: 'm2', requestTimeoutMs: 2, headers: { a: 'b' } }],
    });
    assert.deepEqual([first?.authority, first?.schemes, first?.isMirror], ['m1:5000', ['http'], true]);
    assert.deepEqual([second?.requestTimeoutMs, second?.headers, second?.schemes], [2, { a: 'b' }, ['https']]);
    assert.deepEqual([origin?.requestTimeoutMs, origin?.isMirror], [1, false]);
    assert.equal(first?.requestTimeoutMs, 7_000);
  });
});
