import { closeSync, fstatSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import {
  clearEvent,
  errno as hostErrno,
  poll,
  polledEvents,
  pollSet,
  readDescriptor,
  writeDescriptor,
} from '../platform/syscalls.ts';
import { allocateFirstReads, noteFirstReads } from '../store/first-reads.ts';
import { isRangePresent } from '../store/presence.ts';
import { type InodeTable, viewInodeTable } from '../tree/inode-table.ts';
import { type AccessEvent, encodeResponse, readEvents, responseSizeBytes } from './events.ts';
import {
  control,
  type EventTrace,
  type EventWorkerData,
  type MessageFromEventWorker,
  type MessageToEventWorker,
} from './message.ts';

/**
 * A thread that allows reads of present bytes, and hands other events to the main thread. Like the FUSE worker it
 * blocks only in poll(2), since a thread blocked in read(2) could not be ended.
 */

interface GuardedLayer {
  readonly slot: number;
  readonly table: InodeTable;
  readonly present: Int32Array;
  /** See store/first-reads.ts. undefined: not recorded. */
  readonly seen: Int32Array | undefined;
}

const eventBytes = 16 * 1024;
const pollLimitMs = 1000;

const { groupFd, wakeFd, control: shared, trace: isTraced } = workerData as EventWorkerData;
const port = parentPort!;
const state = new Int32Array(shared);
const events = Buffer.alloc(eventBytes);
const response = Buffer.alloc(responseSizeBytes);
const layers = new Map<number, GuardedLayer>();
/** Data files of which the main thread wants a descriptor. */
const wanted = new Set<number>();
/** Events of data files whose layer has not been added yet, in order of arrival. */
let held: AccessEvent[] = [];
let drained = 0;

serve();

function serve(): void {
  const ready = pollSet(groupFd, wakeFd);
  post({ kind: 'ready' });
  while (Atomics.load(state, control.stopping) === 0) {
    const length = readDescriptor(groupFd, events, eventBytes);
    if (length > 0) {
      // After the read: a layer is posted before its mount is visible.
      if (Atomics.load(state, control.posted) !== drained) drain();
      handle(length);
    } else if (length === 0 || length === -hostErrno.EAGAIN) {
      poll(ready, pollLimitMs);
      if (polledEvents(ready, 1) !== 0) clearEvent(wakeFd);
      if (Atomics.load(state, control.posted) !== drained) drain();
      answerHeld();
    } else if (length !== -hostErrno.EINTR) {
      post({ kind: 'failed', error: new Error(`reading fanotify events: errno ${-length}`) });
      // ENFILE, EMFILE, ENOMEM: the kernel has denied this event; the next may succeed.
      poll(pollSet(wakeFd), 10);
    }
  }
  // Held events stay unanswered: the next daemon denies them.
  port.close();
}

/** After a layer was added, or `adopting` was cleared. */
function answerHeld(): void {
  if (held.length === 0) return;
  const events = held;
  held = [];
  for (const event of events) answer(event);
}

function handle(length: number): void {
  try {
    readEvents(events, length, answer);
  } catch (error) {
    post({ kind: 'failed', error });
  }
}

function answer(event: AccessEvent): void {
  const dataInode = fstatSync(event.fd).ino;
  if (event.pid === process.pid) {
    // Through a descriptor opened after the mark, following a restart. This process never reads a mount of its own, so
    // the event is the store's.
    if (isTraced) trace(event, undefined, 'own');
    if (!wanted.delete(dataInode)) respond(event.fd);
    else {
      allow(event.fd);
      post({ kind: 'descriptor', dataInode, fd: event.fd });
    }
    return;
  }
  const layer = layers.get(dataInode);
  if (layer === undefined) {
    if (Atomics.load(state, control.adopting) === 1) {
      if (isTraced) trace(event, undefined, 'held');
      held.push(event);
      return;
    }
    if (isTraced) trace(event, undefined, 'denied');
    respond(event.fd, hostErrno.EIO);
    post({ kind: 'failed', error: new Error(`a read by process ${event.pid} of a data file of no mounted layer`) });
    return;
  }
  const sizeBytes = Math.min(event.sizeBytes, Math.max(0, layer.table.dataSizeBytes - event.offset));
  if (layer.seen !== undefined) {
    const { slot } = layer;
    noteFirstReads(layer.seen, event.offset, sizeBytes, (dataOffset, size) =>
      post({ kind: 'first-read', slot, dataOffset, sizeBytes: size }),
    );
  }
  const isPresent = isRangePresent(layer.table, layer.present, event.offset, sizeBytes);
  if (isTraced) trace(event, layer.slot, isPresent ? 'allowed' : 'missed');
  if (isPresent) respond(event.fd);
  else post({ kind: 'miss', slot: layer.slot, fd: event.fd, offset: event.offset, sizeBytes });
}

function respond(fd: number, denial?: number): void {
  writeDescriptor(groupFd, encodeResponse(response, fd, denial), responseSizeBytes);
  closeSync(fd);
}

/** Allows the read, and keeps the descriptor open. */
function allow(fd: number): void {
  writeDescriptor(groupFd, encodeResponse(response, fd), responseSizeBytes);
}

function drain(): void {
  drained = Atomics.load(state, control.posted);
  for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port))
    apply(received.message as MessageToEventWorker);
}

function apply(message: MessageToEventWorker): void {
  switch (message.kind) {
    case 'add-layer': {
      const table = viewInodeTable(message.table);
      layers.set(message.dataInode, {
        slot: message.slot,
        table,
        present: new Int32Array(message.present),
        seen: message.records ? new Int32Array(allocateFirstReads(table.dataSizeBytes)) : undefined,
      });
      return;
    }
    case 'remove-layer':
      layers.delete(message.dataInode);
      post({ kind: 'removed', slot: message.slot });
      return;
    case 'want-descriptor':
      wanted.add(message.dataInode);
  }
}

function trace(
  { pid, offset, sizeBytes }: AccessEvent,
  slot: number | undefined,
  outcome: EventTrace['outcome'],
): void {
  post({ kind: 'traced', trace: { slot, pid, offset, sizeBytes, outcome } });
}

function post(message: MessageFromEventWorker): void {
  port.postMessage(message);
}
