/**
 * A daemon reduced to its guard: holds a pre-content group over one file, with a keeper beside it.
 *
 *     node guard.ts ROOT FILE found|unused|adopt allow|hold|ignore GRACE_MS
 *
 * `found` starts the keeper, `unused` too, with nothing to stay for. `allow` answers each read; `hold` takes events and
 * never answers; `ignore` does not even take them.
 */
import { encodeResponse, readEvents, responseSizeBytes } from '../../../erofs/events.ts';
import { markFile, openGroup } from '../../../erofs/fanotify-calls.ts';
import { readDescriptor, writeDescriptor } from '../../../platform/syscalls.ts';
import { denyOrphaned } from '../denial.ts';
import { findKeeper, startKeeper } from '../keeper.ts';

const [root, file, origin, behaviour, graceMs] = process.argv.slice(2) as [string, string, string, string, string];
const groupFd = origin === 'adopt' ? await adopt() : await found();
const buffer = Buffer.alloc(4096);
const response = Buffer.alloc(responseSizeBytes);
if (behaviour !== 'ignore') {
  setInterval(() => {
    const length = readDescriptor(groupFd, buffer, buffer.length);
    if (length <= 0) return;
    readEvents(buffer, length, (event) => {
      if (behaviour === 'allow') writeDescriptor(groupFd, encodeResponse(response, event.fd), responseSizeBytes);
    });
  }, 5);
} else setInterval(() => {}, 1000);
process.stdout.write('ready\n');

async function found(): Promise<number> {
  const group = openGroup();
  markFile(group, file);
  const keeper = await startKeeper(root, { groupFd: group }, Number(graceMs));
  // A name under /sys/fs/erofs that never goes: here is no mount to be guarded, and the keeper is to stay.
  if (origin === 'found') keeper.guard(['features']);
  return group;
}

async function adopt(): Promise<number> {
  const left = await findKeeper(root);
  if (left?.held.groupFd === undefined) throw new Error('no keeper was left behind');
  denyOrphaned(left.held.groupFd);
  return left.held.groupFd;
}
