import { chmodSync, closeSync, fstatSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { isSuperblockAlive } from '../../erofs/mount.ts';
import { denyOrphaned, denyWaiting } from './denial.ts';
import type { FromKeeper, ToKeeper } from './message.ts';

/**
 * The keeper holds the daemon's FUSE connection and fanotify group, so that readers wait while no daemon runs. When the
 * last holder of a group closes it, the kernel lets reads of holes through, and they return zeros.
 *
 *     node process.ts SOCKET GRACE_MS      descriptors 3: /dev/fuse, 4: the group; /dev/null where there is none
 *
 * A daemon duplicates the descriptors and stays connected. When it disconnects without `dismiss`, the next has GRACE_MS
 * to connect; after that the keeper denies every read of a hole with EIO, until one does or nothing is mounted any
 * more.
 */
const [socketPath, graceText] = process.argv.slice(2);
if (socketPath === undefined || graceText === undefined)
  throw new Error('keeper: name the socket and the grace period');
const graceMs = Number(graceText);
const denialPeriodMs = 50;

let fuseFd = heldDescriptor(3);
const groupFd = heldDescriptor(4);
let superblocks: readonly string[] = [];
/** More than one while a daemon takes over, or when something else connects. */
const daemons = new Set<Socket>();
let grace: NodeJS.Timeout | undefined;
let denial: NodeJS.Timeout | undefined;

neverKillForMemory();
process.umask(0o177);
rmSync(socketPath, { force: true });
const server = createServer(welcome);
let socketInode: number | undefined;
server.listen(socketPath, () => {
  chmodSync(socketPath, 0o600);
  socketInode = statSync(socketPath).ino;
});
startGrace();
// A service manager may signal the whole process group when it stops the daemon; the keeper must outlive that.
process.on('SIGTERM', () => {});
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});

/** It is small, and after its death holes would read as zeros. Needs CAP_SYS_RESOURCE. */
function neverKillForMemory(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000');
  } catch {
    // Not permitted: the value inherited from the daemon stays.
  }
}

function welcome(socket: Socket): void {
  clearTimeout(grace);
  clearInterval(denial);
  daemons.add(socket);
  const hello: FromKeeper = { pid: process.pid, fuseFd: fuseFd ?? null, groupFd: groupFd ?? null };
  socket.write(`${JSON.stringify(hello)}\n`);
  let received = '';
  socket.on('data', (piece) => {
    received += piece.toString();
    const lines = received.split('\n');
    received = lines.pop() ?? '';
    for (const line of lines) heed(JSON.parse(line) as ToKeeper);
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    daemons.delete(socket);
    if (daemons.size === 0) startGrace();
  });
}

function heed(message: ToKeeper): void {
  switch (message.kind) {
    case 'dismiss':
      leave();
      break;
    case 'superblocks':
      superblocks = message.names;
      break;
    case 'more-superblocks':
      superblocks = [...superblocks, ...message.names];
  }
}

function startGrace(): void {
  grace = setTimeout(() => {
    // The FUSE connection ends with its last descriptor: readers get ENOTCONN.
    if (fuseFd !== undefined) closeSync(fuseFd);
    fuseFd = undefined;
    if (groupFd === undefined) leave();
    denyOrphaned(groupFd);
    denyWaiting(groupFd);
    denial = setInterval(() => {
      denyWaiting(groupFd);
      // No mount and no overlay reads a hole any more.
      if (!superblocks.some(isSuperblockAlive)) leave();
    }, denialPeriodMs);
  }, graceMs);
}

function leave(): never {
  // A daemon that did not find this keeper may have started another, which now listens there.
  if (statSync(socketPath!, { throwIfNoEntry: false })?.ino === socketInode) rmSync(socketPath!, { force: true });
  process.exit(0);
}

function heldDescriptor(fd: number): number | undefined {
  // /dev/null, character device 1:3, stands for nothing to hold.
  return fstatSync(fd).rdev === 0x103 ? undefined : fd;
}
