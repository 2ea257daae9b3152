import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLinkEstimate } from './link-estimate.ts';

test('the window approaches bandwidth times RTT of the link that was seen', () => {
  const link = createLinkEstimate();
  // 30 ms and 25,000 bytes/ms (200 Mbit/s), measured by transfers that our own work makes look slower at times.
  for (const slowed of [1, 1.4, 1, 2, 1])
    link.observe({ firstByteMs: 30 * slowed, totalMs: (30 + 20) * slowed, sizeBytes: 500_000 });
  assert.equal(link.rttMs, 30);
  assert.ok(Math.abs(link.windowBytes() - 750_000) < 1);
});

test('small answers tell the RTT but not the bandwidth', () => {
  const link = createLinkEstimate();
  const before = link.bandwidthBytesPerMs;
  link.observe({ firstByteMs: 7, totalMs: 7, sizeBytes: 100 });
  assert.equal(link.rttMs, 7);
  assert.equal(link.bandwidthBytesPerMs, before);
});

test('a first byte seen late by a busy process does not make the link look infinitely fast', () => {
  const link = createLinkEstimate();
  link.observe({ firstByteMs: 30, totalMs: 50, sizeBytes: 500_000 });
  link.observe({ firstByteMs: 50, totalMs: 50, sizeBytes: 500_000 });
  assert.equal(link.bandwidthBytesPerMs, 25_000);
});

test('the window has a floor and a ceiling', () => {
  const near = createLinkEstimate();
  near.observe({ firstByteMs: 0.1, totalMs: 10, sizeBytes: 100_000 });
  assert.equal(near.windowBytes(), 64 * 1024);
  const far = createLinkEstimate();
  far.observe({ firstByteMs: 500, totalMs: 510, sizeBytes: 2_000_000 });
  assert.equal(far.windowBytes(), 4 * 1024 * 1024);
});

test('an estimate forgets what the link was like long ago', () => {
  const link = createLinkEstimate();
  link.observe({ firstByteMs: 1, totalMs: 2, sizeBytes: 100 });
  for (let sample = 0; sample < 20; sample++) link.observe({ firstByteMs: 80, totalMs: 90, sizeBytes: 100 });
  assert.equal(link.rttMs, 80);
});
