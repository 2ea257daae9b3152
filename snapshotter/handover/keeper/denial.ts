import { closeSync } from 'node:fs';
import { encodeResponse, readEvents, responseSizeBytes } from '../../erofs/events.ts';
import { errno, readDescriptor, writeDescriptor } from '../../platform/syscalls.ts';

const eventBytes = 16 * 1024;
/** Upper bound of the descriptor numbers of a daemon's events: its limit of open files. */
const highestDescriptor = 65_536;

/** Answers every event that waits in the group with EIO; returns how many. */
export function denyWaiting(groupFd: number): number {
  const events = Buffer.alloc(eventBytes);
  const response = Buffer.alloc(responseSizeBytes);
  let denied = 0;
  for (;;) {
    const length = readDescriptor(groupFd, events, eventBytes);
    if (length <= 0) return denied;
    readEvents(events, length, (event) => {
      writeDescriptor(groupFd, encodeResponse(response, event.fd, errno.EIO), responseSizeBytes);
      closeSync(event.fd);
      denied++;
    });
  }
}

/**
 * Denies with EIO the events that a dead daemon had read and not answered. The kernel identifies an event by the
 * descriptor number it had in the process that read it, regardless of which process writes the response; ENOENT for any
 * other number. Call it before this process reads events, whose numbers might be the same.
 */
export function denyOrphaned(groupFd: number): number {
  const response = Buffer.alloc(responseSizeBytes);
  let denied = 0;
  for (let fd = 0; fd < highestDescriptor; fd++) {
    if (writeDescriptor(groupFd, encodeResponse(response, fd, errno.EIO), responseSizeBytes) > 0) denied++;
  }
  return denied;
}
