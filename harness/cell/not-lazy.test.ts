import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerErrorReason } from '../../snapshotter/layers/error.ts';
import { explainNotLazy, remedyFor } from './not-lazy.ts';

const count = 8;
const digestOf = (number: number) => `sha256:${String(number).repeat(64)}`;

function layer(number: number, isMounted = false) {
  return { number, count, digest: digestOf(number), chainId: `chain-${number}`, isMounted };
}

/** As the daemon writes it. */
function line(number: number, reason: string, error?: string): string {
  const digest = digestOf(number);
  const said = error && `mount layer ${digest}: ${error}`;
  const fields = { level: 'warn', reason, error: said, digest, image: 'app:1', ref: `chain-${number}` };
  return `${JSON.stringify({ ...fields, msg: 'layer will be pulled and unpacked' })}\n`;
}

const ordinary = 'an ordinary layer, without a stargz footer';

test('layers with the same reason are named together, and others keep their own', () => {
  const log = [1, 2, 4].map((number) => line(number, 'not-lazy', ordinary)).join('') + line(3, 'timeout');
  const { text, reasons } = explainNotLazy(
    [1, 2, 3, 4].map((number) => layer(number)),
    log,
  );
  assert.equal(
    text,
    `layers 1-2, 4 of 8: the daemon says not-lazy: ${ordinary}; layer 3 of 8: the daemon says timeout`,
  );
  assert.deepEqual(reasons, ['not-lazy', 'timeout']);
});

test('what it says last of a layer counts, by the name of its snapshot where it was told no more', () => {
  const unnamed = { reason: 'no-labels', ref: 'chain-2', msg: 'layer will be pulled and unpacked' };
  const log = `${line(1, 'unreachable', 'no route')}${line(1, 'corrupt', 'two\nlines')}${JSON.stringify(unnamed)}\n{"torn`;
  const { text, reasons } = explainNotLazy([layer(1), layer(2)], log);
  assert.equal(text, 'layer 1 of 8: the daemon says corrupt: two lines; layer 2 of 8: the daemon says no-labels');
  assert.deepEqual(reasons, ['corrupt', 'no-labels']);
});

test('a layer that is downloaded because of one below it says so', () => {
  const { text } = explainNotLazy([layer(1), layer(2, true)], line(1, 'not-lazy', ordinary));
  assert.match(text, /; layer 2 of 8: containerd downloads every layer above one that is not lazy$/);
});

test('a log that says nothing leaves what is seen, and where to look', () => {
  const { text, reasons } = explainNotLazy([layer(1), layer(2, true)].slice(1), '');
  assert.equal(text, 'layer 2 of 8: its blob was downloaded all the same');
  assert.equal(
    remedyFor(reasons, { variant: 'estargz', isEmbedded: true }),
    'see "A layer is not lazy" in docs/debugging.md',
  );
});

test('neither many reasons nor long ones make a long row', () => {
  const numbers = [1, 2, 3, 4, 5, 6];
  const log = numbers.map((number) => line(number, 'unreachable', `${number}${'x'.repeat(1000)}`)).join('');
  const { text } = explainNotLazy(
    numbers.map((number) => layer(number)),
    log,
  );
  assert.match(text, /…; and 3 more$/);
  assert.ok(text.length < 1500, `${text.length}`);
});

test('each reason has its remedy, once', () => {
  const remedies: Record<LayerErrorReason | 'timeout' | 'no-labels' | 'bad-labels' | 'internal', RegExp> = {
    'not-lazy': /^convert the image again: npm run convert -- SOURCE TARGET --format zstd-chunked$/,
    unverified: /^convert/,
    'toc-digest-mismatch': /^convert/,
    corrupt: /^convert/,
    // The daemon's own text has it.
    unauthorized: /^$/,
    unreachable: /images -- verify/,
    limit: /--modes legacy/,
    disk: /--state-dir/,
    closed: /report it/,
    timeout: /--rtt/,
    'no-labels': /debugging\.md/,
    'bad-labels': /debugging\.md/,
    internal: /report it/,
  };
  const setting = { variant: 'zstdchunked', isEmbedded: false } as const;
  for (const [reason, remedy] of Object.entries(remedies)) assert.match(remedyFor([reason], setting), remedy, reason);
  assert.equal(remedyFor(['corrupt', 'unauthorized', 'not-lazy'], setting), remedyFor(['corrupt'], setting));
  assert.match(remedyFor(['corrupt'], { ...setting, isEmbedded: true }), /^npm run images -- prune --variants legacy /);
  assert.match(remedyFor(['corrupt', 'disk'], setting), /chunked; make room below/);
});
