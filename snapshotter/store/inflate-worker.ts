/** A thread that inflates, verifies and stores members; inflate-thread.ts is its other end. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { createInflateLanes } from './inflate-lanes.ts';
import type { InflateWorkerData, MessageToInflater } from './inflate-message.ts';

const port = parentPort!;
const lanes = createInflateLanes((workerData as InflateWorkerData).slots, (message) => port.postMessage(message));

port.on('message', (message: MessageToInflater) => {
  lanes.receive(message);
  do {
    // Something more urgent, or the end of a lane, may have come meanwhile.
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
      lanes.receive(next.message as MessageToInflater);
  } while (lanes.step());
});
