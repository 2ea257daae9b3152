import { parentPort, workerData } from 'node:worker_threads';
import { describeStack } from './describe-stack.ts';
import { discoverTargets } from './discover.ts';
import { fuzz } from './engine.ts';
import { type FuzzWorkerData, inputHeaderBytes, type MessageFromFuzzer } from './message.ts';

/** A thread per target, so that an endless loop or an exhausted heap does not end the program. */
const { name, seed, durationMs, shared } = workerData as FuzzWorkerData;
const state = new Int32Array(shared, 0, 2);
const space = new Uint8Array(shared, inputHeaderBytes);
const { target } = (await discoverTargets()).find((found) => found.target.name === name)!;
const post = (message: MessageFromFuzzer): void => parentPort!.postMessage(message);

const counts = fuzz({
  target,
  seed,
  durationMs,
  nowMs: () => performance.now(),
  begin(input) {
    space.set(input);
    state[1] = input.length;
    Atomics.add(state, 0, 1);
  },
  find: (input, error) => post({ kind: 'find', input: Uint8Array.from(input), error: describeStack(error) }),
});
post({ kind: 'done', counts });
