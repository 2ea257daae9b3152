import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PayOffRequest, solvePayOff } from './pay-off.ts';

const limit = { timeout: 5_000 };

/** 100 MB at 100 Mbit/s: 8 s of transfer and 2 s of unpacking and running; lazily 5 MB in 0.4 s, 10 round trips of 30 ms, and a run of 0.5 s. */
const request: PayOffRequest = {
  link: { rttMs: 30, bandwidthMbps: 100 },
  legacy: { totalMs: 10_000, wireBytes: 100e6, readyMs: 500 },
  lazy: { totalMs: 1_200, wireBytes: 5e6, wireRequests: 20 },
  imageBytes: 100e6,
};

/** The two starts by the model, at another link or with another share. */
function modelled({ bandwidthMbps = 100, rttMs = 30, share = 0.05 }) {
  const grown = share / 0.05;
  return {
    legacyMs: (8 * 100e6) / (1000 * bandwidthMbps) + 2_000,
    lazyMs: grown * ((8 * 5e6) / (1000 * bandwidthMbps) + 10 * rttMs) + 500,
  };
}

test('the crossover is where the two modelled starts take the same time', limit, () => {
  const { rttMs, share } = solvePayOff(request);
  assert.ok(rttMs.kind === 'below' && share.kind === 'below');
  for (const at of [{ rttMs: rttMs.value }, { share: share.value }]) {
    const { legacyMs, lazyMs } = modelled(at);
    assert.ok(Math.abs(legacyMs - lazyMs) < 1, JSON.stringify({ at, legacyMs, lazyMs }));
  }
  // Unpacking alone takes longer than the lazy start without its bytes.
  assert.deepEqual(solvePayOff(request).bandwidthMbps, { kind: 'always' });
  const { bandwidthMbps } = solvePayOff({ ...request, legacy: { ...request.legacy, totalMs: 8_600 } });
  assert.ok(bandwidthMbps.kind === 'below');
  const { legacyMs, lazyMs } = modelled({ bandwidthMbps: bandwidthMbps.value });
  assert.ok(Math.abs(legacyMs - 1_400 - lazyMs) < 1);
});

test('what another round trip shows goes before what waiting was taken for', limit, () => {
  const seen = solvePayOff({ ...request, lazy: { ...request.lazy, roundTrips: 4 } });
  assert.ok(seen.rttMs.kind === 'below' && Math.abs(seen.rttMs.value - (30 + 8_800 / 4)) < 1);
  // Nor more than it can have waited for, nor less than none.
  assert.deepEqual(solvePayOff({ ...request, lazy: { ...request.lazy, roundTrips: 1_000 } }), solvePayOff(request));
  assert.deepEqual(solvePayOff({ ...request, lazy: { ...request.lazy, roundTrips: -1 } }).rttMs, { kind: 'always' });
});

test('an image that is read whole never pays, nor does one whose lazy start is slower and as large', limit, () => {
  const whole = { ...request, lazy: { totalMs: 11_500, wireBytes: 101e6, wireRequests: 100 } };
  assert.deepEqual(solvePayOff(whole).bandwidthMbps, { kind: 'never' });
  const { share } = solvePayOff(whole);
  assert.ok(share.kind === 'below' && share.value < 1);
});

test('without a round trip or a limit of bandwidth, what was not measured is not divided by', limit, () => {
  const near = { ...request, link: { rttMs: 0, bandwidthMbps: undefined } };
  const faster = solvePayOff({ ...near, lazy: { ...request.lazy, wireRequests: 0 } });
  assert.deepEqual(faster, { bandwidthMbps: { kind: 'always' }, rttMs: { kind: 'always' }, share: { kind: 'always' } });
  const { rttMs } = solvePayOff(near);
  assert.ok(rttMs.kind === 'below' && rttMs.value === 8_800 / 20);
  const slower = solvePayOff({ ...near, lazy: { totalMs: 20_000, wireBytes: 5e6, wireRequests: 0 } });
  assert.deepEqual(
    [slower.rttMs, slower.share].map(({ kind }) => kind),
    ['never', 'never'],
  );
});
