import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { findWorkload } from '../../workloads/catalogue.ts';
import { OutputLines } from './output-lines.ts';
import { startUntilReady } from './readiness.ts';

const limit = { timeout: 10_000 };
const signal = new AbortController().signal;

/** A container that has ended with `status` before its last words are read. */
async function endsBefore(lastWords: string, status: number): Promise<void> {
  const workload = { ...findWorkload('python')!, ready: { kind: 'line', pattern: /ready/ } as const };
  const output = new OutputLines();
  const drained = Promise.withResolvers<void>();
  const container = { id: 'c', pid: 0, exited: Promise.resolve(status), output, drained: drained.promise };
  const waiting = startUntilReady(workload, 'c', output, async () => container, signal);
  await nextTurn();
  output.append('stdout', lastWords);
  drained.resolve();
  await waiting;
}

test('a container whose end is known before its line is read was ready', limit, async () => {
  await endsBefore('y\nready\n', 0);
  await assert.rejects(endsBefore('y\n', 0), {
    code: 'not-ready',
    message: /ended with status 0 before it was ready: y/,
  });
});
