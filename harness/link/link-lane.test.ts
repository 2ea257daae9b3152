import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { seededRandom } from '../../measurements/stats/random.ts';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { Lane, type LaneTcp } from './link-lane.ts';

const delayMs = 15;
const withoutLoss: LaneTcp = { lossShare: 0, random: seededRandom(1) };

/** Sends bytes over a lane whose clock and timers are the test's, and returns the milliseconds until the last one arrives. */
function send(t: TestContext, bytes: Buffer, bytesPerMs: number, tcp: LaneTcp | undefined): number {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  try {
    let now = 0;
    let isPaused = false;
    const received: Buffer[] = [];
    const lane = new Lane({ delayMs, bytesPerMs, tcp, now: () => now });
    const source = { pause: () => (isPaused = true), resume: () => (isPaused = false) };
    const ignored = { cork: () => {}, uncork: () => {}, end: () => {}, reset: () => {} };
    const flow = lane.open(source, { ...ignored, write: (piece) => received.push(piece) > 0 }, 0);
    let receivedBytes = 0;
    for (let at = 0; receivedBytes < bytes.length; ) {
      for (; !isPaused && at < bytes.length; at += 1 << 16) flow.push(bytes.subarray(at, at + (1 << 16)), now);
      now += 1;
      t.mock.timers.tick(1);
      receivedBytes = received.reduce((sum, piece) => sum + piece.length, 0);
      assert.ok(now < 600_000, `${receivedBytes} of ${bytes.length} bytes`);
    }
    assert.ok(Buffer.concat(received).equals(bytes), 'what arrives is what was sent, in its order');
    lane.close();
    return now;
  } finally {
    t.mock.timers.reset();
  }
}

test('without TCP a flow has the whole rate from its first byte', (t) => {
  const sent = send(t, pseudoRandomBytes(1_000_000, 1), 12_500, undefined);
  assert.ok(Math.abs(sent - (1_000_000 / 12_500 + delayMs)) <= 4, `${sent} ms`);
});

test('with slow start a flow needs a round trip for each doubling, and then has the whole rate', (t) => {
  const unlimited = (sizeBytes: number) =>
    send(t, pseudoRandomBytes(sizeBytes, 2), Number.POSITIVE_INFINITY, withoutLoss);
  for (const [sizeBytes, roundTrips] of [
    [14_000, 0],
    [40_000, 1],
    [100_000, 2],
    [1_000_000, 6],
  ] as const) {
    const sent = unlimited(sizeBytes);
    assert.ok(Math.abs(sent - (roundTrips * 2 * delayMs + delayMs)) <= 2 * roundTrips + 4, `${sizeBytes}: ${sent} ms`);
  }
  const [long, longer] = [8e6, 16e6].map((sizeBytes) => send(t, pseudoRandomBytes(sizeBytes, 3), 12_500, withoutLoss));
  assert.ok(Math.abs(longer! - long! - 8e6 / 12_500) <= 10, `${long} and ${longer} ms`);
});

test('losses cost time and no byte', (t) => {
  const bytes = pseudoRandomBytes(4_000_000, 4);
  const lossy = (lossShare: number) => send(t, bytes, 12_500, { lossShare, random: seededRandom(5) });
  const [none, few, many] = [lossy(0), lossy(0.001), lossy(0.02)];
  assert.ok(none! < few! && few! < many!, `${none}, ${few}, ${many} ms`);
});
