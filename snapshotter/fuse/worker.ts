import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import {
  clearEvent,
  errno as hostErrno,
  poll,
  polledEvents,
  pollSet,
  preadDescriptor,
  readDescriptor,
  writeDescriptor,
} from '../platform/syscalls.ts';
import { viewInodeTable } from '../tree/inode-table.ts';
import { Dispatcher } from './dispatch.ts';
import { maxReadBytes } from './init.ts';
import { control, type MessageFromWorker, type MessageToWorker, type WorkerData } from './message.ts';
import { ReplySplicer } from './splice.ts';
import { RequestTracer } from './trace.ts';
import { errno, replyHeaderBytes } from './wire.ts';

/**
 * A thread that answers the kernel from shared memory. It blocks only in poll(2), on the device and its wake-up
 * descriptor: a thread blocked in read(2) could not be ended, and the process could not exit.
 */

/** The kernel demands max_write plus a header, at least 8192; the largest requests carry extended attributes. */
const requestBytes = 128 * 1024;
/** Bounds the delay of a lost wake-up, and of a process exit. */
const pollLimitMs = 1000;

const { fuseFd, wakeFd, control: shared, validity, spliceReplies, trace: isTraced } = workerData as WorkerData;
const port = parentPort!;
const state = new Int32Array(shared);
const input = Buffer.alloc(requestBytes);
const output = Buffer.alloc(replyHeaderBytes + maxReadBytes);
const replyBody = output.subarray(replyHeaderBytes);

const tracer = isTraced ? new RequestTracer(input, output, (trace) => post({ kind: 'traced', trace })) : undefined;
const splicer = spliceReplies ? new ReplySplicer(fuseFd) : undefined;

const dispatcher = new Dispatcher(
  input,
  output,
  {
    pread: (dataFd, _reply, sizeBytes, dataOffset) => preadDescriptor(dataFd, replyBody, sizeBytes, dataOffset),
    ...(splicer === undefined
      ? {}
      : {
          sendFromFile: (dataFd: number, sizeBytes: number, dataOffset: number) =>
            splicer.send(output, dataFd, sizeBytes, dataOffset),
        }),
    miss(miss) {
      tracer?.missed();
      post({ kind: 'miss', miss });
    },
    firstRead: (slot, dataOffset, sizeBytes) => post({ kind: 'first-read', slot, dataOffset, sizeBytes }),
    hit: () => void Atomics.add(state, control.hits, 1),
    interrupt: (uniqueLow, uniqueHigh) => post({ kind: 'interrupt', uniqueLow, uniqueHigh }),
    negotiated: (negotiated) => post({ kind: 'negotiated', negotiated }),
  },
  validity,
);

let drained = 0;
serve();

function serve(): void {
  const ready = pollSet(fuseFd, wakeFd);
  while (Atomics.load(state, control.stopping) === 0) {
    const length = readDescriptor(fuseFd, input, requestBytes);
    if (length > 0) {
      // After the read: a layer is posted before a request for it can come.
      if (Atomics.load(state, control.posted) !== drained) drain();
      answer(length);
    } else if (length === -hostErrno.EAGAIN) {
      poll(ready, pollLimitMs);
      if (polledEvents(ready, 1) !== 0) clearEvent(wakeFd);
      if (Atomics.load(state, control.posted) !== drained) drain();
    } else if (length !== -hostErrno.EINTR && length !== -hostErrno.ENOENT) {
      // ENOENT: the request was interrupted before it was read. ENODEV, ECONNABORTED: the connection has ended.
      post({ kind: 'disconnected' });
      break;
    }
  }
  splicer?.close();
  port.close();
}

function answer(length: number): void {
  let replyBytes: number;
  tracer?.begin();
  try {
    replyBytes = dispatcher.handle(length);
  } catch (error) {
    post({ kind: 'failed', error });
    replyBytes = dispatcher.fail(errno.EIO);
  }
  // ENOENT: the request was interrupted, and needs no reply.
  if (replyBytes > 0) writeDescriptor(fuseFd, output, replyBytes);
  tracer?.end(length);
}

function drain(): void {
  drained = Atomics.load(state, control.posted);
  for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port))
    apply(received.message as MessageToWorker);
}

function apply(message: MessageToWorker): void {
  switch (message.kind) {
    case 'add-layer':
      dispatcher.addLayer({
        slot: message.slot,
        table: viewInodeTable(message.table),
        present: new Int32Array(message.present),
        dataFd: message.dataFd,
        seen: message.seen === undefined ? undefined : new Int32Array(message.seen),
      });
      return;
    case 'remove-layer':
      dispatcher.removeLayer(message.slot);
      post({ kind: 'removed', slot: message.slot });
  }
}

function post(message: MessageFromWorker): void {
  port.postMessage(message);
}
