import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demandRange, type LayerReader } from './layer-reader.ts';

const limit = { timeout: 10_000 };

function stuckReader() {
  const signals: AbortSignal[] = [];
  const reader: LayerReader = {
    ensure(_offset, _size, signal) {
      signals.push(signal);
      return new Promise(() => {});
    },
  };
  return { reader, signals };
}

test('a demand ends with what the reader settles with', limit, async () => {
  await demandRange({ ensure: async () => {} }, 0, 1, 60_000).done;
  const refusals: LayerReader['ensure'][] = [
    async () => {
      throw new Error('refused');
    },
    () => {
      throw new Error('refused');
    },
  ];
  for (const ensure of refusals) await assert.rejects(demandRange({ ensure }, 0, 1, 60_000).done, /^Error: refused$/);
});

test('at the limit a demand fails, and the reader is told to stop', limit, async () => {
  const { reader, signals } = stuckReader();
  await assert.rejects(demandRange(reader, 0, 1, 20).done, /^Error: no data after 20 ms$/);
  assert.equal(signals[0]?.aborted, true);
});

test('a demand that is cancelled fails with the reason, and the reader is told to stop', limit, async () => {
  const { reader, signals } = stuckReader();
  const demand = demandRange(reader, 0, 1, 60_000);
  demand.cancel(new Error('the layer is being taken away'));
  await assert.rejects(demand.done, /taken away/);
  assert.equal(signals[0]?.aborted, true);
});
