import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CongestionWindow, segmentBytes } from './congestion-window.ts';

const rttMs = 100;
const iw = 10 * segmentBytes;

/** Sends as fast as the window allows over a line without end, and returns when the last byte arrives. The clock is not the machine's. */
function send(window: CongestionWindow, totalBytes: number, startsAt = 0): number {
  let now = startsAt;
  let left = totalBytes;
  let arrivesAt = now;
  while (left > 0) {
    const bytes = Math.min(left, window.roomBytes(now));
    if (bytes === 0) {
      now = window.nextAcknowledgementAt()!;
      continue;
    }
    arrivesAt = now + rttMs / 2;
    window.depart(bytes, now, arrivesAt);
    left -= bytes;
  }
  return arrivesAt;
}

test('a connection sends ten segments, then as many more as were acknowledged: twice as many each round trip', () => {
  for (const [segments, roundTrips] of [
    [1, 0],
    [10, 0],
    [11, 1],
    [30, 1],
    [31, 2],
    [70, 2],
    [71, 3],
    [1270, 6],
  ] as const) {
    const arrivesAt = send(new CongestionWindow(rttMs), segments * segmentBytes);
    assert.equal(arrivesAt, roundTrips * rttMs + rttMs / 2, `${segments} segments`);
  }
});

test('a sender with little to send does not widen its window', () => {
  const window = new CongestionWindow(rttMs);
  let now = 0;
  for (let request = 0; request < 50; request++) now = send(window, 2 * segmentBytes, now) + rttMs / 2;
  assert.equal(window.roomBytes(now), iw);
});

test('a connection that is used again at once goes on with its window, and after a pause with less, at least ten segments', () => {
  const window = new CongestionWindow(rttMs);
  const end = send(window, 150 * segmentBytes) + rttMs / 2;
  const wide = window.roomBytes(end);
  assert.ok(wide >= 80 * segmentBytes, String(wide));
  assert.equal(window.roomBytes(end + 100), wide);
  assert.equal(window.roomBytes(end + 300), wide / 2);
  assert.equal(window.roomBytes(end + 60_000), iw);
});

test('a loss shrinks the window once a round trip, and it then grows by a segment each', () => {
  const window = new CongestionWindow(rttMs);
  let now = send(window, 150 * segmentBytes) + rttMs / 2;
  const wide = window.roomBytes(now);
  window.lose(now);
  window.lose(now + rttMs / 2);
  const narrow = window.roomBytes(now);
  assert.ok(Math.abs(narrow - 0.7 * wide) <= 1, `${narrow} of ${wide}`);
  window.depart(narrow, now, now + rttMs / 2);
  now += rttMs;
  assert.ok(Math.abs(window.roomBytes(now) - narrow - segmentBytes) <= 1, `${window.roomBytes(now)} after ${narrow}`);
  for (let loss = 0; loss < 100; loss++) window.lose(now + loss * rttMs);
  assert.equal(window.roomBytes(now), 2 * segmentBytes);
});
